// What is fitted to a run whose work is known, and what other runs are made of it.
#include "study/simulation/fitted_work.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "exchange/journal.h"
#include "study/simulation/group_legs.h"
#include "study/simulation/virtual_run.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

constexpr double kRound_s = 0.002, kTurn_s = 0.0005;   // CPU seconds: a round costs as much as four turns
constexpr double kFixed_s = 0.004, kToken_s = 0.0001;  // of a step, and of each of its tokens
constexpr int kStepsMade = 40, kFittedGroups = 4, kTokensOfTurn = 10;

// A run with one worker, which plays one group at a time: of 8 and of 32 turns, in turn.
class FittedWorkTest : public ::testing::Test {
 protected:
  FittedWorkTest()
      : folder_(testing::TempDir() + "fitted_work_" + testing::UnitTest::GetInstance()->current_test_info()->name()),
        journal_(JournalPath(folder_, 1)) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    proto::PolicyConfig& policy = (*config_.mutable_policies())["solo"];
    policy.mutable_staleness()->set_bound(2);
    policy.mutable_model()->set_hidden(64);
    config_.mutable_train()->set_steps(kStepsMade);
    config_.mutable_train()->set_groups_per_step(kFittedGroups);
    config_.mutable_train()->set_group_size(1);
    config_.mutable_rollout()->set_groups_in_play(8);
  }

  void WriteJournal() {
    auto writer = EventWriter::Open(journal_);
    ASSERT_TRUE(writer.ok()) << writer.status();
    proto::JournalEvent opening;
    opening.mutable_opening()->set_incarnation(1);
    ASSERT_TRUE(writer->Append(opening).ok());
    double now = 10;  // the warm start took as long
    for (int i = 0; i < kStepsMade * kFittedGroups; ++i) {
      const int turns = i % 2 == 0 ? 8 : 32;
      const double round_s = kRound_s + turns * kTurn_s;
      proto::Header header;
      proto::Group& group = *header.mutable_group();
      group.set_worker("worker-0");
      group.mutable_ticket()->set_id(i);
      group.set_issued_s(now);
      proto::Episode& episode = *group.add_episodes();
      for (int t = 0; t < turns; ++t) {
        proto::Turn& turn = *episode.add_turns();
        turn.set_policy("solo");
        turn.set_output_tokens(kTokensOfTurn);
        turn.mutable_times()->set_started(now);
        turn.mutable_times()->set_first_token(now + round_s);
        turn.mutable_times()->set_ended(now + kTokensOfTurn * round_s);
      }
      now += kTokensOfTurn * round_s;
      group.set_arrived_s(now);
      proto::JournalEvent event;
      event.set_call(header.SerializeAsString());
      ASSERT_TRUE(writer->Append(event).ok());
    }
  }

  void WriteMetrics(int steps, bool cpu = true) {
    std::ofstream out(folder_ + "/metrics.jsonl");
    const auto line = [&out](const nlohmann::json& json) { out << json.dump() << "\n"; };
    const double groups = kStepsMade * kFittedGroups, turns = groups * 20;  // 8 and 32 in turn
    const double tokens = turns * kTokensOfTurn, rounds = groups * kTokensOfTurn;
    const double seconds = rounds * kRound_s + tokens * kTurn_s;
    for (int step = 1; step <= steps; ++step) {
      const double trained = 100 + 50 * (step % 3);
      line({{"kind", "step"},
            {"time_s", 10 + seconds * step / kStepsMade},
            {"policy", "solo"},
            {"step", step},
            {"tokens_trained", trained},
            {"cpu_s", cpu ? step == 1 ? 5.0 : kFixed_s + kToken_s * trained : 0},
            {"step_s", kFixed_s + kToken_s * trained + 0.001},
            {"wait_share", 0.0}});
    }
    line({{"kind", "rollout"},
          {"time_s", 10 + seconds},
          {"worker", "worker-0"},
          {"interval_s", seconds},
          {"tokens_generated", tokens},
          {"cpu_s", seconds},
          {"publish_lag_s", {{"solo", 0.003}}}});
    line({{"kind", "exchange"}, {"time_s", 10 + seconds}, {"interval_s", seconds / 2}, {"cpu_s", groups * 0.0001 / 2}});
  }

  absl::StatusOr<FittedWork> Fit() const { return FitWork(folder_, journal_, config_); }

  const std::string folder_, journal_;
  proto::Config config_;
};

TEST_F(FittedWorkTest, FindsTheWorkThatWasDone) {
  WriteJournal();
  WriteMetrics(kStepsMade);
  const absl::StatusOr<FittedWork> fitted = Fit();
  ASSERT_TRUE(fitted.ok()) << fitted.status();
  EXPECT_NEAR(fitted->round_cpu_s, kRound_s, 1e-2 * kRound_s);
  EXPECT_NEAR(fitted->turn_cpu_s, kTurn_s, 1e-2 * kTurn_s);
  EXPECT_NEAR(fitted->exchange_cpu_s, 0.0001, 1e-6);
  EXPECT_NEAR(fitted->publish_s, 0.003, 1e-9);
  const FittedTrainer& trainer = fitted->trainers.at("solo");
  EXPECT_EQ(trainer.step_cpu_s.size(), kStepsMade - 1u);  // the first had the time before it
  EXPECT_NEAR(trainer.fixed_cpu_s, kFixed_s, 1e-9);
  EXPECT_NEAR(trainer.wait_s, 0.001, 1e-9);
  ASSERT_EQ(fitted->groups.size(), static_cast<size_t>(kStepsMade * kFittedGroups));
  for (const size_t i : {0, 1}) {
    ASSERT_EQ(fitted->groups[i].legs.size(), 1u);
    EXPECT_NEAR(fitted->groups[i].legs[0].rounds, kTokensOfTurn, 1e-6);
    EXPECT_NEAR(fitted->groups[i].turns, i == 0 ? 8 : 32, 1e-6);
  }
}

TEST_F(FittedWorkTest, AnotherRunIsMadeOfTheSameWork) {
  WriteJournal();
  WriteMetrics(kStepsMade);
  const absl::StatusOr<FittedWork> fitted = Fit();
  ASSERT_TRUE(fitted.ok()) << fitted.status();
  proto::Config config = config_;
  config.mutable_train()->set_groups_per_step(2 * kFittedGroups);
  const auto work = WorkFor(*fitted, config, {.speed = {{"solo", 2}, {"workers", 4}}, .publish_s = 0.5});
  ASSERT_TRUE(work.ok()) << work.status();
  // The second step had 200 tokens; now it has twice as many, on twice as fast a trainer.
  EXPECT_NEAR(work->step.at("solo")(0).cpu_s, (kFixed_s + 2 * 200 * kToken_s) / 2, 1e-9);
  EXPECT_NEAR(work->turn_cpu_s, kTurn_s / 4, 1e-2 * kTurn_s / 4);
  EXPECT_EQ(work->publish_s, 0.5);

  // One worker and a core of its own for everybody: a group takes 10 rounds of 2 ms and 200 turns of 0.5 ms on average,
  // whatever is played at the same time, and there is nothing to wait for.
  VirtualRunOptions options{.config = config_, .work = *WorkFor(*fitted, config_, {}), .cores = 3};
  options.config.mutable_rollout()->set_groups_in_play(1);
  options.config.mutable_policies()->at("solo").mutable_staleness()->set_bound(8);
  const auto run = RunVirtually(options);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_NEAR(run->groups_per_s, 1 / (10 * kRound_s + 200 * kTurn_s), 0.05 / (10 * kRound_s + 200 * kTurn_s));
}

TEST_F(FittedWorkTest, WhatNothingCanBeToldFromIsSaid) {
  EXPECT_THAT(Fit().status().message(), HasSubstr("metrics.jsonl: no such file"));
  WriteMetrics(0);
  EXPECT_THAT(Fit().status().message(), HasSubstr("metrics.jsonl: 0 steps of solo"));
  WriteMetrics(kStepsMade, /*cpu=*/false);
  EXPECT_THAT(Fit().status().message(), HasSubstr("has no CPU times"));
  WriteMetrics(kStepsMade);
  EXPECT_TRUE(absl::IsNotFound(Fit().status())) << Fit().status();
  EXPECT_THAT(Fit().status().message(), HasSubstr(journal_));
}

TEST_F(FittedWorkTest, AnotherModelOrTaskIsRefused) {
  WriteJournal();
  WriteMetrics(kStepsMade);
  const absl::StatusOr<FittedWork> fitted = Fit();
  ASSERT_TRUE(fitted.ok()) << fitted.status();
  proto::Config config = config_;
  config.mutable_policies()->at("solo").mutable_model()->set_hidden(128);
  EXPECT_THAT(WorkFor(*fitted, config, {}).status().message(), HasSubstr("policies.solo.model: the run had another"));
  config = config_;
  config.mutable_environment()->set_max_operations(9);
  EXPECT_THAT(WorkFor(*fitted, config, {}).status().message(), HasSubstr("environment: the run had another"));
  config = config_;
  config.mutable_environment()->mutable_tool();
  EXPECT_THAT(WorkFor(*fitted, config, {}).status().message(), HasSubstr("environment.tool: the run had none"));
}

TEST(GroupLegsTest, LegsAreWhatIsDecodedAndWhatIsWaitedForBetween) {
  RecordedGroup group{.arrived_s = 9};
  group.turns = {{0, 2, 10}, {1, 3, 10}, {5, 6, 4}};  // two that overlap by half, a wait of 2 s, four tokens, and 3 s
  const GroupWork work = WorkOf(group, /*tools=*/true);
  ASSERT_EQ(work.legs.size(), 2u);
  EXPECT_DOUBLE_EQ(work.legs[0].rounds, 15);
  EXPECT_DOUBLE_EQ(work.legs[0].wait_s, 2);
  EXPECT_DOUBLE_EQ(work.legs[1].rounds, 4);
  EXPECT_DOUBLE_EQ(work.legs[1].wait_s, 3);
  EXPECT_DOUBLE_EQ(work.turns * 19, 24);
  EXPECT_EQ(WorkOf(group, /*tools=*/false).legs.size(), 1u);
}

}  // namespace
}  // namespace tandem
