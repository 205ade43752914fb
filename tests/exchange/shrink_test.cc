#include "tests/exchange/shrink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/exchange/random_scenario.h"
#include "tests/exchange/team.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ScenarioTest, OneReadFromItsTextIsPlayedInTheSameWay) {
  for (const Kind kind : {Kind::kOrdinary, Kind::kDeaths, Kind::kLag, Kind::kDisobedient}) {
    const Scenario scenario = RandomScenario(kind, 12);
    const absl::StatusOr<Scenario> read = ScenarioOf(ToText(scenario));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(ToText(*read), ToText(scenario));
    Team one(scenario), other(*read);
    EXPECT_EQ(one.sim.Run(), "");
    EXPECT_EQ(other.sim.Run(), "");
    EXPECT_EQ(one.sim.now(), other.sim.now());
    EXPECT_EQ(one.sim.checker().seen(), other.sim.checker().seen());
    EXPECT_EQ(one.sim.checker().batches(), other.sim.checker().batches());
  }
}

TEST(ScenarioTest, SaysWhatItCannotRead) {
  EXPECT_THAT(ScenarioOf("seed=5 wrokers=2").status().message(), HasSubstr("wrokers=2"));
  EXPECT_THAT(ScenarioOf("seed=five").status().message(), HasSubstr("seed=five"));
  EXPECT_THAT(ScenarioOf("seed=5 config: train { stpes: 3 }").status().message(), HasSubstr("stpes"));
}

// Everything that the failure does not need is gone, and what it needs is as small as it can be.
TEST(ShrinkTest, EndsAtTheSmallestScenarioThatFails) {
  const auto fails = [](const Scenario& s) {
    const auto executor = s.config.policies().find("executor");
    return executor != s.config.policies().end() && executor->second.staleness().bound() >= 3 && s.workers >= 2 &&
           s.repeat > 0 && s.config.train().steps() >= 7 && s.seed % 3 == 0;
  };
  Scenario large = RandomScenario(Kind::kDeaths, 3);
  for (uint64_t seed = 6; PoliciesOf(large.config).size() < 2; seed += 3) large = RandomScenario(Kind::kDeaths, seed);
  SetShape(&large, 4, 3);
  SetBound(&large, "executor", 16, proto::RERUN);
  large.workers = 5;
  large.repeat = 0.5;
  ASSERT_TRUE(fails(large));

  const Shrunk shrunk = Shrink(large, fails);
  const Scenario& small = shrunk.scenario;
  EXPECT_TRUE(fails(small));
  EXPECT_THAT(PoliciesOf(small.config), ElementsAre("executor"));
  EXPECT_EQ(small.config.policies().at("executor").staleness().bound(), 3u);
  EXPECT_EQ(small.config.policies().at("executor").staleness().on_limit(), proto::PACE);
  EXPECT_EQ(small.workers, 2);
  EXPECT_EQ(small.repeat, 0.5);
  EXPECT_EQ(small.config.train().steps(), 7u);
  EXPECT_EQ(small.config.train().groups_per_step(), 1u);
  EXPECT_EQ(small.config.train().group_size(), 1u);
  EXPECT_EQ(small.exchange_dies + small.trainer_dies + small.stall + small.non_finite, 0);
}

TEST(ShrinkTest, GivesUpAfterSoManyTries) {
  int played = 0;
  const Shrunk shrunk = Shrink(
      RandomScenario(Kind::kOrdinary, 1), [&](const Scenario&) { return ++played < 0; }, /*tries=*/10);
  EXPECT_EQ(played, 10);
  EXPECT_EQ(ToText(shrunk.scenario), ToText(RandomScenario(Kind::kOrdinary, 1)));
}

}  // namespace
}  // namespace tandem
