// Faults that really kill, in runs of real processes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  TandemProcess train(TrainArguments(folder));
  while (const auto line = train.NextLine()) {
    if (line->find(" step ") != std::string::npos && line->find("warm") == std::string::npos) break;
  }
  train.Signal(SIGINT);
  EXPECT_EQ(train.Wait(), 0) << train.said();
  for (const std::string policy : {"planner", "executor"}) {
    EXPECT_TRUE(FindNewestCheckpoint(folder, policy).ok()) << policy;
  }
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
    EXPECT_EQ(numbers, expected) << policy << ": every step once, over both parts of the run";
  }
}

TEST(FaultsTest, ATrainerThatDiesEndsTheRunWithAWordAboutWho) {
  const ScratchFolder scratch;
  const std::string folder = scratch.path() + "/run";
  TandemProcess train(TrainArguments(folder));
  while (const auto line = train.NextLine()) {
    if (line->find(" step ") != std::string::npos) break;
  }
  for (const pid_t pid : ProcessesWith({"trainer", "executor", folder})) kill(pid, SIGKILL);
  EXPECT_EQ(train.Wait(), 1) << train.said();
  EXPECT_THAT(train.said(), testing::HasSubstr("trainer-executor-0"));
  EXPECT_THAT(ProcessesWith({folder}), testing::IsEmpty());
}

}  // namespace
}  // namespace tandem
