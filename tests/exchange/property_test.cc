// The promises of the exchange under random schedules: slow and lost workers, repeated and reordered submissions, slow
// trainers, steps that are not taken. Every failure names its seed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "tests/exchange/play_many.h"
#include "tests/exchange/shrink.h"
#include "tests/exchange/team.h"

namespace tandem {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kSchedulesPerShard = 10;
constexpr bool kFewSchedules = true;  // sanitizers are slow: whether each schedule is sound, not what all of them cover
#else
constexpr uint64_t kSchedulesPerShard = 50;
constexpr bool kFewSchedules = false;
#endif
constexpr uint64_t kShards = 6;

// tests/schedules plays many more.
class ExchangeScheduleTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  // Schedules of one kind; `expected` are things that must happen in some of them, or they exercise too little.
  void PlayShard(Kind kind, uint64_t count, const std::vector<Sight>& expected) {
    const Campaign campaign = {.first = 1 + GetParam() * 1000, .count = count, .kind = kind};
    Tally tally;
    if (const auto failed = PlayMany(campaign, &tally)) FAIL() << Explain(campaign.Of(*failed));
    EXPECT_EQ(tally.groups.size(), count);
    EXPECT_GE(*std::min_element(tally.groups.begin(), tally.groups.end()), kLeastGroups);
    if (kFewSchedules) return;
    for (const Sight sight : expected) EXPECT_GT(tally.seen[sight], 0u) << kSightNames[sight];
  }
};

TEST_P(ExchangeScheduleTest, EveryPromiseIsKept) {
  PlayShard(Kind::kOrdinary, kSchedulesPerShard,
            {kMixed, kDropped, kMasked, kRerun, kAccepted, kNonFinite, kStalled, kDuplicate, kReissued});
}

// Whatever dies, and whenever: what was accepted is trained on, once.
TEST_P(ExchangeScheduleTest, NothingIsLostWhenTheExchangeOrATrainerDies) {
  PlayShard(Kind::kDeaths, kSchedulesPerShard, {kExchangeDied, kTrainerDied, kPastBatch});
}

// Lag injection, whatever the machine does.
TEST_P(ExchangeScheduleTest, TheLagIsWhatWasAskedFor) { PlayShard(Kind::kLag, kSchedulesPerShard, {}); }

// Workers that start with whatever weights they have: the gate's sums are wrong then, and only the check at consumption
// stands between a stale token and a gradient.
TEST_P(ExchangeScheduleTest, NothingStaleIsTrainedOnEvenWhenWorkersIgnoreTheirTickets) {
  PlayShard(Kind::kDisobedient, kSchedulesPerShard / 5, {kStale});
}

INSTANTIATE_TEST_SUITE_P(, ExchangeScheduleTest, ::testing::Range(uint64_t{0}, kShards));

TEST(ExchangePropertyTest, WithBoundZeroBatchesDoNotDependOnTheOrderOfArrival) {
  const auto run = [](uint64_t schedule) {
    Scenario s;
    s.seed = schedule;
    s.config.set_seed(7);
    SetShape(&s, 5, 2);
    SetBound(&s, "executor", 0, proto::PACE);
    SetBound(&s, "planner", 0, proto::PACE);
    s.config.mutable_sft()->set_steps(2);
    s.config.mutable_sft()->set_episodes_per_step(3);
    s.config.mutable_evaluation()->set_episodes(5);
    s.step_s = {{"executor", 1}, {"planner", 0.1 * schedule}};
    s.workers = 1 + schedule % 4;
    s.lifetime_s = 100;
    s.repeat = 0.1;
    Team team(std::move(s));
    EXPECT_EQ(team.sim.Run(), "") << "schedule " << schedule;
    return team.sim.checker().batches();
  };
  const auto first = run(1);
  EXPECT_EQ(first.size(), 2 * 40u);  // 200 groups, 5 a step, two policies
  for (uint64_t schedule = 2; schedule <= 10; ++schedule) EXPECT_EQ(run(schedule), first) << "schedule " << schedule;
}

TEST(ExchangePropertyTest, APolicyThatStandsStillDoesNotBlockTheOther) {
  Scenario s;
  SetShape(&s, 4, 2);
  SetBound(&s, "executor", 3, proto::PACE);
  SetBound(&s, "planner", 16, proto::PACE);
  s.step_s = {{"planner", 1}};  // the executor's trainer never asks
  Team team(std::move(s));
  // The executor's bound lets 4 batches of groups be issued (due by 3: batches from 0 to 3); the planner trains on all.
  const auto done = [&] { return team.sim.now() > 5000 || team.sim.exchange().lane("planner").version() == 4; };
  EXPECT_EQ(team.sim.Run(done), "");
  EXPECT_EQ(team.sim.exchange().lane("planner").version(), 4u);
  EXPECT_EQ(team.sim.exchange().lane("executor").version(), 0u);
  team.sim.exchange().Tick(team.sim.now() + 100);
  EXPECT_THAT(team.sim.warnings(), Contains(HasSubstr("waiting for policy executor")));
}

}  // namespace
}  // namespace tandem
