// Programs that sleep, and tools that take their time.
#include "rollout/episode/timers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rollout/env/tool.h"
#include "rollout/episode/program.h"
#include "rollout/group_play.h"
#include "tests/rollout/played.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Program<void> Note(Timers& timers, double seconds, int number, std::vector<int>& log) {
  co_await Timers::Sleep(&timers, seconds);
  log.push_back(number);
}

TEST(TimersTest, SleepersGoOnInTheOrderOfTheirTimes) {
  VirtualClock clock;
  Timers timers(clock);
  std::vector<int> log;
  std::vector<Program<void>> programs;
  for (const auto& [seconds, number] : {std::pair(0.3, 3), {0.1, 1}, {0.2, 2}, {0.1, 11}}) {
    programs.push_back(Note(timers, seconds, number, log));
    programs.back().Start();
  }
  timers.FireDue();
  EXPECT_THAT(log, IsEmpty());
  EXPECT_DOUBLE_EQ(*timers.NextIn(), 0.1);
  clock.Set(0.25);
  EXPECT_EQ(*timers.NextIn(), 0);
  timers.FireDue();
  EXPECT_THAT(log, ElementsAre(1, 11, 2));
  programs.clear();  // dropped while it sleeps
  clock.Set(1);
  timers.FireDue();
  EXPECT_THAT(log, ElementsAre(1, 11, 2));
  EXPECT_FALSE(timers.NextIn().has_value());
}

TEST(TimersTest, WithoutTimersNothingTakesTime) {
  bool done = false;
  const auto program = [](bool& done) -> Program<void> {
    co_await Timers::Sleep(nullptr, 5);
    done = true;
  };
  Program<void> sleeping = program(done);
  sleeping.Start();
  EXPECT_TRUE(done);
}

TEST(ToolTest, TimesAreHeavyTailedBetweenTheirLimitsAndFollowTheKey) {
  proto::ToolConfig tool;
  tool.set_least_ms(5);
  tool.set_most_ms(100);
  tool.set_alpha(1);
  int above_double = 0, cut_off = 0;
  constexpr int kCalls = 10000;
  for (int key = 0; key < kCalls; ++key) {
    const double seconds = ToolSeconds(tool, key);
    EXPECT_EQ(seconds, ToolSeconds(tool, key));
    ASSERT_GE(seconds, 0.005);
    ASSERT_LE(seconds, 0.1);
    above_double += seconds > 0.01;
    cut_off += seconds == 0.1;
  }
  EXPECT_NEAR(above_double, kCalls / 2, 300);  // a Pareto with alpha 1: twice the least is exceeded by half
  EXPECT_NEAR(cut_off, kCalls / 20, 150);      // and 20 times the least by a twentieth
}

// The steps of a plan that one needs the other wait one after the other; what is written does not depend on it.
TEST(ToolTest, AGroupWaitsForItsToolsAndSaysTheSame) {
  proto::Config config = SmallConfig();
  proto::ToolConfig& tool = *config.mutable_environment()->mutable_tool();
  tool.set_least_ms(10);
  tool.set_most_ms(10);
  tool.set_alpha(1);
  const auto environment = *MakeEnvironment(config.environment(), config.seed(), "");
  std::vector<std::string> said;
  for (const bool takes_time : {false, true}) {
    VirtualClock clock;
    auto cast = Cast::Create(config, *environment, clock);
    ASSERT_TRUE(cast.ok()) << cast.status();
    if (takes_time) (*cast)->LetToolsTakeTime();
    (*cast)->Seat("planner", "");  // their scripts: every plan is right
    (*cast)->Seat("executor", "");
    auto play = GroupPlay::Start(**cast, MakeTicket(1, proto::EVAL, 3));
    ASSERT_TRUE(play.ok()) << play.status();
    int waits = 0;
    while (!(*play)->done()) {
      ASSERT_TRUE(takes_time && (*cast)->NextTool().has_value());
      clock.Advance(*(*cast)->NextTool());
      (*cast)->Step();
      ++waits;
    }
    EXPECT_EQ(waits > 0, takes_time);
    EXPECT_GE(clock.Now(), takes_time ? 0.01 : 0);
    const auto played = (*play)->Finish();
    ASSERT_TRUE(played.ok()) << played.status();
    std::string& all = said.emplace_back();
    for (const wire::Frame& frame : played->frames) all += *frame;
  }
  EXPECT_EQ(said[0], said[1]);
}

}  // namespace
}  // namespace tandem
