#include "exchange/slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

proto::LagConfig Constant(uint32_t lag) {
  proto::LagConfig config;
  config.set_constant(lag);
  return config;
}

proto::LagConfig Uniform(uint32_t least, uint32_t most) {
  proto::LagConfig config;
  config.add_uniform(least);
  config.add_uniform(most);
  return config;
}

LagModel Model(const proto::LagConfig& config, uint32_t bound, std::string_view trace = {}, uint64_t needed = 0) {
  absl::StatusOr<LagModel> model = LagModel::Create(config, "planner", bound, /*seed=*/7, trace, needed);
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

std::string ErrorOf(const proto::LagConfig& config, uint32_t bound, std::string_view trace = {}, uint64_t needed = 0) {
  return std::string(LagModel::Create(config, "planner", bound, /*seed=*/7, trace, needed).status().message());
}

TEST(LagModelTest, DrawsWhatTheConfigurationSays) {
  const LagModel constant = Model(Constant(8), 8), uniform = Model(Uniform(1, 4), 4);
  std::vector<int> counts(5);
  for (uint64_t slot = 0; slot < 4000; ++slot) {
    EXPECT_EQ(constant.Draw(slot).first, 8u);
    ++counts[uniform.Draw(slot).first];
  }
  EXPECT_EQ(counts[0], 0);
  for (int lag = 1; lag <= 4; ++lag) EXPECT_NEAR(counts[lag], 1000, 130);  // 4.7 standard deviations of 27
}

TEST(LagModelTest, AHeavyTailHasItsMedianAndItsTailAndEndsAtTheBound) {
  proto::LagConfig config;
  config.mutable_heavy_tail()->set_median(4);
  config.mutable_heavy_tail()->set_alpha(1);
  const LagModel model = Model(config, 16);
  int below_median = 0, at_bound = 0;
  for (uint64_t slot = 0; slot < 4000; ++slot) {
    const uint32_t lag = model.Draw(slot).first;
    ASSERT_LE(lag, 16u);
    below_median += lag < 4;
    at_bound += lag == 16;
  }
  EXPECT_NEAR(below_median, 2000, 150);
  EXPECT_NEAR(at_bound, 500, 100);  // P(lag >= 16) = 2 / 16
}

TEST(LagModelTest, IsAPureFunctionOfSeedPolicyAndSlot) {
  const LagModel one = Model(Uniform(0, 100), 100), same = Model(Uniform(0, 100), 100);
  const LagModel other = *LagModel::Create(Uniform(0, 100), "executor", 100, /*seed=*/7, {}, 0);
  int differ = 0;
  for (uint64_t slot = 0; slot < 100; ++slot) {
    EXPECT_EQ(one.Draw(slot).first, same.Draw(slot).first);
    differ += one.Draw(slot).first != other.Draw(slot).first;
  }
  EXPECT_GT(differ, 80);
}

TEST(LagModelTest, SaysWhatIsWrong) {
  EXPECT_THAT(ErrorOf({}, 4),
              HasSubstr("lag.planner: expected exactly one of constant, uniform, heavy_tail and trace"));
  EXPECT_THAT(ErrorOf(Constant(5), 4), HasSubstr("lag.planner.constant: a lag of 5 is beyond the bound"));
  EXPECT_THAT(ErrorOf(Uniform(0, 5), 4), HasSubstr("lag.planner.uniform: a lag of 5 is beyond the bound"));
  EXPECT_THAT(ErrorOf(Uniform(3, 2), 4), HasSubstr("expected [LEAST, MOST], found [3, 2]"));
  proto::LagConfig trace;
  trace.set_trace("lags.txt");
  EXPECT_EQ(ErrorOf(trace, 4, "1\n2\n", 2), "");
  EXPECT_THAT(ErrorOf(trace, 4, "1\n2\n", 3),
              HasSubstr("lags.txt: the trace ends after 2 groups; the run trains on 3"));
  EXPECT_THAT(ErrorOf(trace, 4, "1\nx\n", 2), HasSubstr("lags.txt:2: expected 1 lag, found x"));
  EXPECT_THAT(ErrorOf(trace, 4, "1\n5\n", 2), HasSubstr("lags.txt:2: a lag of 5 is beyond the bound"));
  trace.set_switch_at(2);
  EXPECT_EQ(ErrorOf(trace, 4, "3 1\n2 0\n", 2), "");
  EXPECT_THAT(ErrorOf(trace, 4, "1\n", 1), HasSubstr("lags.txt:1: expected 2 lags, found 1"));
}

TEST(SlotsTest, ASlotIsIssuedAsSoonAsItsVersionIsThere) {
  Slots slots(Model(Constant(2), 4), /*first=*/0, /*last=*/10, /*groups_per_step=*/3);
  for (uint64_t slot = 0; slot < 9; ++slot) {  // of the steps from versions 0, 1 and 2, which version 0 writes
    ASSERT_EQ(slots.NextOpen(0, 0), slot);
    ASSERT_TRUE(slots.MayIssue(slot, 0));
    proto::TicketLimit limit;
    slots.Take(slot, /*ticket=*/100 + slot, /*incarnation=*/0, &limit);
    EXPECT_EQ(limit.consume_by(), slot / 3);
    EXPECT_EQ(limit.least().number(), 0u);
    EXPECT_EQ(limit.writers_size(), 1);
  }
  EXPECT_FALSE(slots.MayIssueAny(0));
  EXPECT_TRUE(slots.MayIssue(9, 1));
  EXPECT_EQ(slots.StepOf(108), 2u);
}

TEST(SlotsTest, AReopenedSlotComesFirst) {
  Slots slots(Model(Constant(0), 4), 0, 10, 3);
  proto::TicketLimit limit;
  slots.Take(0, 1, 0, &limit);
  slots.Take(1, 2, 0, &limit);
  slots.Reopen(1);
  EXPECT_EQ(slots.NextOpen(0, 0), 0u);
}

TEST(SlotsTest, AVersionTakesOverInTheMiddleOfATurn) {
  proto::LagConfig config;
  config.set_trace("t");
  config.set_switch_at(3);
  std::string trace;
  for (int i = 0; i < 10; ++i) trace += "4 1\n";
  Slots slots(Model(config, 4, trace, 10), 0, 10, 1);
  EXPECT_FALSE(slots.MayIssue(6, /*newest=*/4));  // written by 2, then by 5
  EXPECT_TRUE(slots.MayIssue(6, 5));
  proto::TicketLimit limit;
  slots.Take(6, 1, 0, &limit);
  ASSERT_EQ(limit.writers_size(), 2);
  EXPECT_EQ(limit.writers(0).version().number(), 2u);
  EXPECT_EQ(limit.writers(0).count(), 3u);
  EXPECT_EQ(limit.writers(1).version().number(), 5u);
  EXPECT_EQ(limit.least().number(), 5u);
}

}  // namespace
}  // namespace tandem
