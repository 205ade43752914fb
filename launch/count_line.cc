#include "launch/count_line.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace tandem {

CountLine::CountLine(std::string what, size_t total)
    : what_(std::move(what)), total_(total), shown_(isatty(STDERR_FILENO) != 0 && isatty(STDOUT_FILENO) == 0) {}

CountLine::~CountLine() {
  if (printed_ != start_) std::fputs("\r\033[K", stderr);
}

void CountLine::Add(size_t done) {
  done_ += done;
  const Clock::time_point now = Clock::now();
  if (!shown_ || now - printed_ < std::chrono::seconds(1)) return;
  printed_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double left = seconds / static_cast<double>(done_) * static_cast<double>(total_ - done_);
  std::fprintf(stderr, "\r\033[K%zu of %zu %s, %.0f s left", done_, total_, what_.c_str(), left);
}

}  // namespace tandem
