// What the README shows is what is tested: its code blocks stand in the tests, word for word.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/file.h"

namespace tandem {
namespace {

std::string Shown(const std::string& test_file) {
  const std::string text = *ReadFile(test_file);
  const std::string begin = "// [README: begin]\n", end = "// [README: end]";
  const size_t from = text.find(begin), to = text.find(end);
  EXPECT_NE(from, std::string::npos) << test_file;
  EXPECT_NE(to, std::string::npos) << test_file;
  return text.substr(from + begin.size(), to - from - begin.size());
}

TEST(ReadmeTest, ItsExamplesAreTheOnesThatAreCompiledAndTested) {
  const std::string readme = *ReadFile("README.md");
  for (const std::string file : {"tests/rollout/own_environment_test.cc", "tests/trainer/own_loss_test.cc"}) {
    EXPECT_NE(readme.find("```cpp\n" + Shown(file) + "```"), std::string::npos) << file;
  }
}

}  // namespace
}  // namespace tandem
