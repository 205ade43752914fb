// Runs a command line within the test.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "launch/cli.h"

namespace tandem {

struct Printed {
  int status;
  std::string out, err;
};

// The words of `line`, without the program's name.
inline Printed RunLine(const std::string& line) {
  std::vector<std::string> words = absl::StrSplit("tandem " + line, ' ', absl::SkipEmpty());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int status = RunCommandLine(static_cast<int>(words.size()), argv.data());
  return {status, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
}

}  // namespace tandem
