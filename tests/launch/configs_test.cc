// Every configuration that is shipped is one that a run would take.
#include <gtest/gtest.h>

#include <filesystem>

#include "launch/config.h"
#include "launch/preflight.h"
#include "tests/launch/temporary_folder.h"
#include "tests/policy/tiny_qwen.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

// A configuration that starts from a model that people download gets another one, which takes its place.
TEST(ConfigsTest, EveryShippedConfigurationIsInOrder) {
  const TemporaryFolder folder;
  const std::string model = folder.path() + "/model";
  ASSERT_TRUE(WriteTinyQwen(model, 1).ok());
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator("configs")) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    auto loaded = LoadConfig({.file = entry.path().string(), .sets = {}, .seed = {}});
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    for (auto& [name, policy] : *loaded->config.mutable_policies()) {
      if (!policy.init().empty()) policy.set_init(model);
    }
    EXPECT_TRUE(CheckBeforeRun(*loaded).ok()) << CheckBeforeRun(*loaded);
  }
  EXPECT_GE(files, 5);
}

TEST(ConfigsTest, TheQuickstartIsAsynchronousAndFits) {
  const auto loaded = LoadConfig({.file = "configs/quickstart.yaml", .sets = {}, .seed = {}});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  for (const auto& [name, policy] : loaded->config.policies()) EXPECT_GE(policy.staleness().bound(), 1u) << name;
  EXPECT_GE(loaded->config.evaluation().episodes(), 2000u);
}

TEST(ConfigsTest, ContextsHoldTheLongestQuestions) {
  auto loaded =
      LoadConfig({.file = "configs/quickstart.yaml", .sets = {"policies.planner.model.context=30"}, .seed = {}});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  // 24 tokens of a plan leave 6 for a question; those of 3 operations have 8 at least.
  const absl::Status status = CheckBeforeRun(*loaded);
  EXPECT_NE(std::string(status.message()).find("--set policies.planner.model.context: 30 is too small"),
            std::string::npos)
      << status;
}

}  // namespace
}  // namespace tandem
