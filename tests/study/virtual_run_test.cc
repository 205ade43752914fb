// What a bound costs, in virtual time, against what no scheduler can beat.
#include "study/simulation/virtual_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "study/simulation/staleness_limit.h"

namespace tandem {
namespace {

// Of groups' durations, whose median is 1; and of steps.
struct Setting {
  double sigma, cap, step_s, publish_s;
};
std::ostream& operator<<(std::ostream& out, const Setting& s) {
  return out << "sigma " << s.sigma << ", cap " << s.cap << ", step " << s.step_s << ", publish " << s.publish_s;
}

constexpr uint32_t kGroups = 64;  // as many are played at the same time

VirtualRunOptions OptionsOf(const Setting& setting, uint32_t bound, proto::OnLimit on_limit = proto::PACE) {
  VirtualRunOptions options;
  proto::PolicyConfig& policy = (*options.config.mutable_policies())["solo"];
  policy.mutable_staleness()->set_bound(bound);
  policy.mutable_staleness()->set_on_limit(on_limit);
  options.config.mutable_train()->set_groups_per_step(kGroups);
  options.config.mutable_train()->set_steps(60 + 10 * std::min(bound, 20u));
  options.config.mutable_rollout()->set_groups_in_play(kGroups / 4);
  options.workers = 4;
  options.group_s = LogNormalDuration(1, setting.sigma, setting.cap);
  options.step_s["solo"] = setting.step_s;
  options.publish_s = setting.publish_s;
  return options;
}

double GroupsPerSecond(const VirtualRunOptions& options) {
  const auto run = RunVirtually(options);
  EXPECT_TRUE(run.ok()) << run.status();
  return run.ok() ? run->groups_per_s : 0;
}

class BoundCostTest : public ::testing::TestWithParam<Setting> {};

TEST_P(BoundCostTest, PaceComesCloseToWhatNoSchedulerCanBeat) {
  const Setting& setting = GetParam();
  const double unbounded = GroupsPerSecond(OptionsOf(setting, 1000));
  for (const uint32_t bound : {0u, 1u, 2u, 4u, 8u}) {
    const double limit = StalenessLimit({.bound = bound,
                                         .groups_per_step = kGroups,
                                         .longest_s = setting.cap,
                                         .step_s = setting.step_s,
                                         .publish_s = setting.publish_s});
    const double best = std::min(unbounded, limit);
    const bool near = std::max(unbounded, limit) < 1.2 * best;
    const double reached = GroupsPerSecond(OptionsOf(setting, bound));
    std::printf("%s bound %u: %.3f of the limit (%.2f of unbounded)\n", testing::PrintToString(setting).c_str(), bound,
                reached / best, reached / unbounded);
    EXPECT_GE(reached, (near ? 0.90 : 0.95) * best) << "bound " << bound;
  }
}

INSTANTIATE_TEST_SUITE_P(, BoundCostTest,
                         ::testing::Values(Setting{1, 8, 0, 0}, Setting{1, 8, 0.5, 0}, Setting{1, 8, 2, 0.1},
                                           Setting{0.5, 3, 0, 0}, Setting{0.5, 3, 0.5, 0.1}, Setting{0.5, 3, 2, 0},
                                           Setting{1.5, 16, 0, 0}, Setting{1.5, 16, 1, 0.2}, Setting{1.5, 16, 4, 0}));

TEST(VirtualRunTest, TheSameSeedGivesTheSameRun) {
  const auto run = [](uint32_t seed) {
    VirtualRunOptions options = OptionsOf({1, 8, 0.5, 0.1}, 2);
    options.config.set_seed(seed);
    return RunVirtually(options)->groups_per_s;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

// Known without a simulation: all groups take 1 s, so a batch is played, trained on and published in 1.7 s.
TEST(VirtualRunTest, WithoutSpreadBoundZeroIsTheSumOfItsParts) {
  const auto run = RunVirtually(OptionsOf({0, 1, 0.5, 0.2}, 0));
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_NEAR(run->groups_per_s, kGroups / 1.7, 1e-6);
  EXPECT_NEAR(run->lanes.at("solo").training_share, 0.5 / 1.7, 1e-6);
  EXPECT_THAT(run->lanes.at("solo").age_share, testing::ElementsAre(testing::DoubleEq(1)));
}

TEST(VirtualRunTest, MaskedTokensAndRerunsAreCounted) {
  const auto masked = RunVirtually(OptionsOf({1, 8, 0.5, 0}, 1, proto::MASK));
  ASSERT_TRUE(masked.ok()) << masked.status();
  EXPECT_GT(masked->lanes.at("solo").over_bound_share, 0);
  EXPECT_LE(masked->lanes.at("solo").age_share.size(), 2u);
  VirtualRunOptions options = OptionsOf({1, 8, 0.5, 0}, 1, proto::RERUN);
  (*options.config.mutable_policies())["solo"].mutable_staleness()->set_reruns(1);
  const auto rerun = RunVirtually(options);
  ASSERT_TRUE(rerun.ok()) << rerun.status();
  const Rejections& rejected = rerun->lanes.at("solo").rejected;
  ASSERT_TRUE(rejected.contains("rerun") && rejected.contains("given_up")) << "nothing was played again";
  // A group is too old because it took long.
  const double mean_s = rerun->played_s / static_cast<double>(rerun->issued);
  for (const std::string reason : {"rerun", "given_up"}) {
    const std::vector<double>& took_s = rejected.at(reason);
    EXPECT_GT(std::accumulate(took_s.begin(), took_s.end(), 0.0) / static_cast<double>(took_s.size()), mean_s)
        << reason;
  }
}

}  // namespace
}  // namespace tandem
