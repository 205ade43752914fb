// What other systems' admission rules do with groups of which some take long, next to ours.
#include "study/simulation/rival_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <numeric>

#include "study/simulation/staleness_limit.h"

namespace tandem {
namespace {

constexpr uint32_t kGroupsOfStep = 32;

VirtualRunOptions HeavyTailed(uint32_t bound, double sigma = 1, uint32_t seed = 1) {
  VirtualRunOptions options;
  options.config.set_seed(seed);
  (*options.config.mutable_policies())["solo"].mutable_staleness()->set_bound(bound);
  options.config.mutable_train()->set_groups_per_step(kGroupsOfStep);
  options.config.mutable_train()->set_steps(200);
  options.config.mutable_rollout()->set_groups_in_play(32);
  options.workers = 8;  // more places than any bound here fills
  options.group_s = LogNormalDuration(1, sigma, 16);
  options.step_s["solo"] = 0.5;
  options.publish_s = 0.1;
  return options;
}

RivalRun RunUnder(const std::string& rule, const VirtualRunOptions& options) {
  auto made = MakeAdmissionRule(rule, RuleOptionsOf(options.config));
  EXPECT_TRUE(made.ok()) << made.status();
  const absl::StatusOr<RivalRun> run = RunRival(options, made->get());
  EXPECT_TRUE(run.ok()) << run.status();
  EXPECT_NEAR(std::accumulate(run->age_share.begin(), run->age_share.end(), 0.0), 1, 1e-9);
  return *run;
}

TEST(RivalRunTest, CountingBreaksItsBoundWhereSomeGroupsTakeLong) {
  for (const uint32_t bound : {1u, 2u, 4u}) {
    const RivalRun run = RunUnder("count", HeavyTailed(bound));
    EXPECT_GT(run.over_bound_share, 0.01) << bound;
    EXPECT_GT(run.age_share.size(), bound + 2) << bound;
    EXPECT_EQ(run.thrown_away_share, 0);
  }
  // All take the same: nobody is overtaken.
  EXPECT_EQ(RunUnder("count", HeavyTailed(1, /*sigma=*/0)).over_bound_share, 0);
}

TEST(RivalRunTest, DroppingByAgeKeepsItsBoundAndThrowsWorkAway) {
  for (const uint32_t bound : {1u, 2u, 4u}) {
    const RivalRun run = RunUnder("drop_by_age", HeavyTailed(bound));
    EXPECT_EQ(run.over_bound_share, 0) << bound;
    EXPECT_LE(run.age_share.size(), bound + 1) << bound;
    EXPECT_GT(run.thrown_away_share, 0.01) << bound;
  }
}

TEST(RivalRunTest, AWindowMissesItsTargetByNoMoreThanItSays) {
  for (const uint32_t bound : {1u, 2u, 4u}) {
    const RivalRun run = RunUnder("windowed_fifo", HeavyTailed(bound));
    const double window = std::floor(0.3 * (bound + 1) * kGroupsOfStep);
    const double most = bound + std::ceil((window - 1) / kGroupsOfStep);
    EXPECT_LE(static_cast<double>(run.age_share.size()), most + 1) << bound;
    EXPECT_EQ(run.thrown_away_share, 0);
  }
}

TEST(RivalRunTest, OursKeepsTheBoundAndEveryGroup) {
  for (const uint32_t bound : {0u, 1u, 4u}) {
    const auto run = RunVirtually(HeavyTailed(bound));
    ASSERT_TRUE(run.ok()) << run.status();
    EXPECT_LE(run->lanes.at("solo").age_share.size(), bound + 1);
    EXPECT_TRUE(run->lanes.at("solo").rejected.empty());
  }
}

// Known without a simulation: all groups take 1 s, and with bound 0 nothing overlaps.
TEST(RivalRunTest, WithoutSpreadBoundZeroIsTheSumOfItsParts) {
  for (const std::string rule : {"count", "windowed_fifo"}) {
    const RivalRun run = RunUnder(rule, HeavyTailed(0, /*sigma=*/0));
    EXPECT_NEAR(run.groups_per_s, kGroupsOfStep / 1.6, 1e-6) << rule;
    EXPECT_THAT(run.age_share, testing::ElementsAre(testing::DoubleEq(1))) << rule;
  }
}

TEST(RivalRunTest, TheSameSeedGivesTheSameRun) {
  for (const std::string rule : {"count", "drop_by_age", "windowed_fifo"}) {
    const double once = RunUnder(rule, HeavyTailed(2, 1, 7)).groups_per_s;
    EXPECT_EQ(RunUnder(rule, HeavyTailed(2, 1, 7)).groups_per_s, once) << rule;
    EXPECT_NE(RunUnder(rule, HeavyTailed(2, 1, 8)).groups_per_s, once) << rule;
  }
}

TEST(RivalRunTest, ARuleThatNobodyKnowsIsNamed) {
  EXPECT_EQ(MakeAdmissionRule("cuont", {}).status().message(),
            "there is no rule cuont; expected tandem, count, drop_by_age or windowed_fifo");
}

}  // namespace
}  // namespace tandem
