// Where standard error goes when a whole run is one process.
#pragma once

#include <string>

namespace tandem {

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
