// Logging of the processes of a run. (Not base/log.h: spdlog's fmt and LibTorch's do not fit into one translation unit,
// and this room sees LibTorch.)
#pragma once

#include <string>

namespace tandem {

// From now on this process logs as `who` to standard error, from level info on.
void StartLogging(const std::string& who);

// While it lives, standard error goes to the end of `file`.
class RedirectedErrors {
 public:
  explicit RedirectedErrors(const std::string& file);
  ~RedirectedErrors();
  RedirectedErrors(const RedirectedErrors&) = delete;
  RedirectedErrors& operator=(const RedirectedErrors&) = delete;

 private:
  int kept_ = -1;  // what standard error was
};

}  // namespace tandem
