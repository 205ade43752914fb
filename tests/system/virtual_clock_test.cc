// Whole runs in virtual time: asynchronous, and the same each time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/file.h"
#include "tests/system/one_process.h"
#include "tests/system/tandem_process.h"

namespace tandem {
namespace {

class VirtualClockTest : public ::testing::Test {
 protected:
  // The folder of a run of configs/virtual.yaml in small.
  std::string Train(const std::string& name, const std::vector<std::string>& sets = {}) {
    std::string folder = scratch_.path() + "/" + name;
    std::vector<std::string> words = {"train", "configs/virtual.yaml", "--run-dir", folder};
    std::vector<std::string> all = {"sft.steps=20",       "train.steps=12",           "train.groups_per_step=4",
                                    "train.group_size=4", "rollout.groups_in_play=8", "evaluation.episodes=16"};
    all.insert(all.end(), sets.begin(), sets.end());
    for (const std::string& set : all) words.insert(words.end(), {"--set", set});
    TandemProcess train(words);
    EXPECT_EQ(train.Wait(), 0) << train.said();
    return folder;
  }

  static std::string Text(const std::string& file) {
    const auto text = ReadFile(file);
    EXPECT_TRUE(text.ok()) << text.status();
    return text.value_or("");
  }

  static double MeanStaleness(const std::string& run, const std::string& policy) {
    double sum = 0, steps = 0;
    for (const auto& line : MetricsOf(run, "step")) {
      if (line["policy"] != policy || line["tokens_trained"] == 0) continue;
      sum += line["staleness_mean"].get<double>();
      ++steps;
    }
    return sum / std::max(1.0, steps);
  }

  const ScratchFolder scratch_;
};

TEST_F(VirtualClockTest, TheSameSeedGivesTheSameMetricsEpisodesAndWeights) {
  const std::string a = Train("a"), b = Train("b"), other = Train("other", {"seed=2"});
  EXPECT_EQ(Text(a + "/metrics.jsonl"), Text(b + "/metrics.jsonl"));
  for (const std::string policy : {"planner", "executor"}) {
    const std::string weights = absl::StrCat("/checkpoints/", policy, "/0-12/model.safetensors");
    EXPECT_EQ(Digest(Text(a + weights)), Digest(Text(b + weights))) << policy;
    EXPECT_NE(Digest(Text(a + weights)), Digest(Text(other + weights))) << policy;
  }
  EXPECT_GT(MeanStaleness(a, "planner"), 0.5) << "it is to be asynchronous";
}

TEST_F(VirtualClockTest, StalenessComesFromTheDurations) {
  const std::string slow =
      Train("slow", {"durations.trainers.planner.step_s=5", "durations.trainers.executor.step_s=5"});
  const std::string fast = Train("fast", {"durations.decode_step_s=1"});
  EXPECT_GT(MeanStaleness(slow, "planner"), MeanStaleness(fast, "planner") + 1);
  const auto steps = MetricsOf(slow, "step");
  EXPECT_GE(steps.back()["time_s"].get<double>(), 12 * 5);
  EXPECT_LT(steps.back()["time_s"].get<double>(), 12 * 5 * 2);
}

TEST_F(VirtualClockTest, ABoundOnDriftHoldsThePolicyThatIsAheadBack) {
  const auto most = [](const std::string& run) {
    uint32_t drift = 0;
    for (const auto& line : MetricsOf(run, "step")) {
      if (line["policy"] == "planner") drift = std::max(drift, line["drift_max"].value("executor", 0u));
    }
    return drift;
  };
  const std::vector<std::string> slow = {"durations.trainers.planner.step_s=1"};
  const std::string free = Train("free", slow);
  const std::string held = Train("held", {slow[0], "policies.planner.staleness.drift_bound=1"});
  EXPECT_GT(most(free), 1u);
  EXPECT_LE(most(held), 1u);
  for (const auto& line : MetricsOf(held, "ledger")) EXPECT_EQ(line["rejected"], 0) << line;
}

TEST_F(VirtualClockTest, ARunInVirtualTimeIsReplayedLikeAnyOther) {
  TandemProcess replay({"replay", Train("run")});
  EXPECT_EQ(replay.Wait(), 0) << replay.said();
  EXPECT_THAT(replay.said(), ::testing::HasSubstr("the same"));
}

}  // namespace
}  // namespace tandem
