// Faults that really kill, in runs of real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/digest.h"
#include "base/file.h"
#include "tests/system/one_process.h"
#include "tests/system/tandem_process.h"

namespace tandem {
namespace {

constexpr int kSteps = 24, kGroups = 4, kGroupSize = 8;

std::vector<std::string> TrainArguments(const std::string& folder) {
  return {"train",     "configs/quickstart.yaml",
          "--run-dir", folder,
          "--seed",    "3",
          "--set",     "sft.steps=60",
          "--set",     "evaluation.episodes=0",
          "--set",     "rollout.workers=2",
          "--set",     absl::StrCat("train.steps=", kSteps),
          "--set",     absl::StrCat("train.groups_per_step=", kGroups),
          "--set",     absl::StrCat("train.group_size=", kGroupSize),
          "--set",     "transport.silence_s=2"};
}

void ExpectABalancedLedger(const std::string& folder) {
  std::map<std::string, nlohmann::json> last;
  for (const auto& line : MetricsOf(folder, "ledger")) {
    EXPECT_EQ(line["issued"].get<int>(), line["trained"].get<int>() + line["in_flight"].get<int>() +
                                             line["buffered"].get<int>() + line["rejected"].get<int>())
        << line;
    last[line["policy"]] = line;
  }
  EXPECT_EQ(last.size(), 2);
  for (const auto& [policy, line] : last) EXPECT_EQ(line["trained"], kSteps * kGroups * kGroupSize) << line;
}

TEST(FaultsTest, KilledWorkersCostNothingTheirTicketsAreIssuedAgainAndTheLedgerBalances) {
  const ScratchFolder scratch;
  const std::string folder = scratch.path() + "/run";
  TandemProcess train(TrainArguments(folder));
  int kills = 0;
  while (const auto line = train.NextLine()) {
    const bool stepped = line->find(" step ") != std::string::npos && line->find("warm") == std::string::npos;
    if (!stepped || kills >= 4) continue;
    for (const pid_t pid : ProcessesWith({"worker", folder})) kills += kill(pid, SIGKILL) == 0;
  }
  EXPECT_EQ(train.Wait(), 0) << train.said();
  EXPECT_GE(kills, 1) << train.said();
  ExpectABalancedLedger(folder);
  int reissued = 0;
  for (const auto& line : MetricsOf(folder, "ledger")) reissued = std::max(reissued, line["reissued_total"].get<int>());
  EXPECT_GT(reissued, 0) << kills << " workers were killed while they had nothing to play";
  EXPECT_THAT(ProcessesWith({folder}), testing::IsEmpty());
}

TEST(FaultsTest, ARunThatIsInterruptedLeavesCheckpointsAndGoesOn) {
  const ScratchFolder scratch;
  const std::string folder = scratch.path() + "/run";
  const auto first_step = [](TandemProcess& run) {
    while (const auto line = run.NextLine()) {
      if (line->find(" step ") != std::string::npos && line->find("warm") == std::string::npos) break;
    }
  };
  TandemProcess train(TrainArguments(folder));
  first_step(train);
  train.Signal(SIGINT);
  EXPECT_EQ(train.Wait(), 0) << train.said();
  for (const std::string policy : {"planner", "executor"}) {
    EXPECT_TRUE(FindNewestCheckpoint(folder, policy).ok()) << policy;
  }
  TandemProcess left({"train", "--resume", folder});  // its terminal is closed
  first_step(left);
  left.StopReading();
  left.Signal(SIGHUP);
  EXPECT_EQ(left.Wait(), 0) << "neither the signal nor the pipe that nobody reads may end it at once";
  TandemProcess resumed({"train", "--resume", folder});
  EXPECT_EQ(resumed.Wait(), 0) << resumed.said();
  const auto steps = MetricsOf(folder, "step");
  for (const std::string policy : {"planner", "executor"}) {
    std::vector<int> numbers;
    for (const auto& step : steps) {
      if (step["policy"] == policy) numbers.push_back(step["step"]);
    }
    std::vector<int> expected(kSteps);
    for (int i = 0; i < kSteps; ++i) expected[i] = i + 1;
    EXPECT_EQ(numbers, expected) << policy << ": every step once, over all parts of the run";
  }
}

// With bound 0 a run computes the same whatever the timing, so whatever is killed must leave no trace.
TEST(FaultsTest, WhoeverIsKilledTheRunLearnsWhatAnUndisturbedOneLearns) {
  const ScratchFolder scratch;
  const auto play = [&](const std::string& folder, const std::vector<std::vector<std::string>>& victims) {
    std::vector<std::string> arguments = TrainArguments(folder);
    for (const char* set : {"policies.planner.staleness.bound=0", "policies.executor.staleness.bound=0",
                            "train.checkpoint_every=5", "evaluation.episodes=20"}) {
      arguments.insert(arguments.end(), {"--set", set});
    }
    TandemProcess train(arguments);
    size_t killed = 0;
    while (const auto line = train.NextLine()) {
      if (line->find(" step ") == std::string::npos || killed == victims.size()) continue;
      std::vector<std::string> words = victims[killed];
      words.push_back(folder);
      for (const pid_t pid : ProcessesWith(words)) kill(pid, SIGKILL);
      ++killed;
    }
    EXPECT_EQ(train.Wait(), 0) << train.said();
    EXPECT_EQ(killed, victims.size()) << train.said();
    std::vector<std::string> learned;  // what every step computed, then the weights
    for (const auto& line : MetricsOf(folder, "step")) {
      std::string text;
      for (const char* key : {"policy", "step", "loss", "grad_norm", "kl", "reward_mean", "tokens_trained"}) {
        absl::StrAppend(&text, line[key].dump(), " ");
      }
      learned.push_back(text);
    }
    std::sort(learned.begin(), learned.end());  // policies are steps apart
    for (const auto& line : MetricsOf(folder, "eval")) learned.push_back(line["success"].dump());
    for (const std::string policy : {"planner", "executor"}) {
      const auto checkpoint = FindNewestCheckpoint(folder, policy);
      EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
      if (checkpoint.ok()) learned.push_back(Digest(*ReadFile(*checkpoint + "/model.safetensors")));
    }
    return learned;
  };
  const auto undisturbed = play(scratch.path() + "/undisturbed", {});
  EXPECT_EQ(undisturbed.size(), 2 * kSteps + 2 + 2);
  const std::string folder = scratch.path() + "/killed";
  EXPECT_EQ(play(folder, {{"exchange"},  // in the warm start, as the first line about a step is of it
                          {"trainer", "planner"},
                          {"exchange"},
                          {"trainer", "executor"},
                          {"trainer"},
                          {"exchange"}}),
            undisturbed);
  ExpectABalancedLedger(folder);
}

TEST(FaultsTest, ATrainerThatCannotGoOnEndsTheRunWithAWordAboutWhoAndWhy) {
  const ScratchFolder scratch;
  const std::string folder = scratch.path() + "/run";
  std::vector<std::string> arguments = TrainArguments(folder);
  arguments.insert(arguments.end(), {"--set", "train.checkpoint_every=1"});
  TandemProcess train(arguments);
  while (const auto line = train.NextLine()) {
    if (line->find(" step ") != std::string::npos && line->find("warm") == std::string::npos) break;
  }
  for (const pid_t pid : ProcessesWith({"trainer", "executor", folder})) kill(pid, SIGSTOP);
  const auto checkpoint = FindNewestCheckpoint(folder, "executor");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::filesystem::resize_file(*checkpoint + "/model.safetensors", 100);
  for (const pid_t pid : ProcessesWith({"trainer", "executor", folder})) kill(pid, SIGKILL);
  EXPECT_EQ(train.Wait(), 1) << train.said();
  EXPECT_THAT(train.said(), testing::HasSubstr("trainer-executor-0 ended with exit status 1"));
  EXPECT_THAT(train.said(), testing::HasSubstr(*checkpoint));
  EXPECT_THAT(ProcessesWith({folder}), testing::IsEmpty());
}

}  // namespace
}  // namespace tandem
