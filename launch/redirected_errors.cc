#include "launch/redirected_errors.h"

#include <fcntl.h>
#include <unistd.h>

namespace tandem {

RedirectedErrors::RedirectedErrors(const std::string& file) {
  const int to = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (to < 0) return;  // then it stays where it was
  kept_ = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
  dup2(to, STDERR_FILENO);
  close(to);
}

RedirectedErrors::~RedirectedErrors() {
  if (kept_ < 0) return;
  dup2(kept_, STDERR_FILENO);
  close(kept_);
}

}  // namespace tandem
