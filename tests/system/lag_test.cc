// Lag injection on the real system: the staleness of every token is the lag that was asked for, and with a constant lag
// an asynchronous run is the same, bit for bit, whatever the machine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/system/one_process.h"

namespace tandem {
namespace {

constexpr int kLagSteps = 8;

LoadedConfig WithLag(std::vector<std::string> sets) {
  const std::vector<std::string> more = {"policies.planner.staleness.bound=4", "policies.executor.staleness.bound=4",
                                         absl::StrCat("train.steps=", kLagSteps)};
  sets.insert(sets.end(), more.begin(), more.end());
  return Control("lag-zero-equals-sync", std::move(sets));
}

const std::vector<std::string> kConstant = {"lag.planner.constant=4", "lag.executor.constant=1"};

uint32_t LagOf(const nlohmann::json& step) { return step["policy"] == "planner" ? 4 : 1; }

TEST(LagTest, AConstantLagIsTheStalenessOfEveryToken) {
  const LoadedConfig loaded = WithLag(kConstant);
  const ScratchFolder folder;
  const absl::Status status = RunInOneProcess(loaded, folder.path(), /*workers=*/2);
  ASSERT_TRUE(status.ok()) << status;
  const auto steps = MetricsOf(folder.path(), "step");
  ASSERT_EQ(steps.size(), 2 * kLagSteps);
  for (const auto& step : steps) {
    if (step["tokens_trained"] == 0) continue;
    const uint32_t from = step["version"].get<uint32_t>() - 1;  // the version that the step starts from
    const uint32_t expected = std::min(LagOf(step), from);
    EXPECT_EQ(step["staleness_mean"], expected) << step;
    EXPECT_EQ(step["staleness_max"], expected) << step;
    EXPECT_EQ(step["staleness_p95"], expected) << step;
    EXPECT_EQ(step["mixed_version_turns"], 0) << step;
  }
  for (const auto& line : MetricsOf(folder.path(), "ledger")) EXPECT_EQ(line["rejected"], 0) << line;
}

TEST(LagTest, WithAConstantLagARunDoesNotDependOnItsWorkers) {
  std::vector<std::string> runs;
  for (const int workers : {1, 3}) {
    const LoadedConfig loaded = WithLag(kConstant);
    const ScratchFolder folder;
    const absl::Status status = RunInOneProcess(loaded, folder.path(), workers);
    ASSERT_TRUE(status.ok()) << status;
    std::map<std::string, std::string> lines;  // in an order that does not depend on the run
    for (const auto& step : MetricsOf(folder.path(), "step")) {
      lines[absl::StrCat(step["policy"].get<std::string>(), " ", step["version"].get<int>())] = absl::StrCat(
          step["loss"].dump(), " ", step["grad_norm"].dump(), " ", step["kl"].dump(), " ", step["reward_mean"].dump());
    }
    EXPECT_EQ(lines.size(), 2u * kLagSteps);
    std::string& all = runs.emplace_back();
    for (const auto& [name, line] : lines) absl::StrAppend(&all, name, ": ", line, "\n");
    for (const std::string policy : {"planner", "executor"}) {
      absl::StrAppend(&all, policy, " ends with ", TrainedDigest(loaded, folder.path(), policy), "\n");
    }
  }
  EXPECT_EQ(runs[0], runs[1]);
}

TEST(LagTest, ALagThatIsDrawnAnewInMidTurnHasTwoVersionsWriteIt) {
  const LoadedConfig loaded = WithLag({"lag.planner={uniform: [0, 4], switch_at: 3}"});
  const ScratchFolder folder;
  const absl::Status status = RunInOneProcess(loaded, folder.path(), /*workers=*/2);
  ASSERT_TRUE(status.ok()) << status;
  double mixed = 0;
  std::set<uint32_t> seen;
  for (const auto& step : MetricsOf(folder.path(), "step")) {
    if (step["policy"] != "planner") continue;
    mixed += step["mixed_version_turns"].get<double>();
    EXPECT_LE(step["staleness_max"], 4);
    for (size_t age = 0; age < step["staleness_histogram"].size(); ++age) {
      if (step["staleness_histogram"][age] > 0) seen.insert(static_cast<uint32_t>(age));
    }
  }
  EXPECT_GT(mixed / kLagSteps, 0.05);
  EXPECT_GE(seen.size(), 4u);  // of the five; groups without variance are not trained on
}

}  // namespace
}  // namespace tandem
