#include "trainer/advantages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <deque>

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

// Turns whose spans stay alive.
class AdvantagesTest : public ::testing::Test {
 protected:
  TrainingTurn& Add(uint64_t ticket, uint32_t episode, const std::string& role, std::vector<int32_t> prompt,
                    float reward) {
    prompts_.push_back(std::move(prompt));
    TrainingTurn turn;
    turn.ticket = ticket;
    turn.episode = episode;
    turn.role = role;
    turn.reward = reward;
    turn.prompt_ids = prompts_.back();
    turn.output_ids = output_;
    turn.loss_mask = mask_;
    turns_.push_back(turn);
    return turns_.back();
  }

  Advantages Compute(proto::GroupBy compare, bool divide_by_std) {
    proto::AdvantageConfig config;
    config.set_compare(compare);
    config.set_divide_by_std(divide_by_std);
    return GroupAdvantages(turns_, config);
  }

  const std::vector<int32_t> output_ = {5, 0};
  const std::vector<uint8_t> mask_ = {1, 1}, no_mask_ = {0, 0};
  std::deque<std::vector<int32_t>> prompts_;
  std::vector<TrainingTurn> turns_;
};

TEST_F(AdvantagesTest, CentredAndDividedWithinATask) {
  for (const float reward : {1.f, 0.f, 0.f, 1.f}) Add(7, 0, "planner", {1}, reward);
  for (const float reward : {4.f, 0.f, 0.f, 0.f}) Add(8, 0, "planner", {1}, reward);
  const Advantages out = Compute(proto::TASK, /*divide_by_std=*/true);
  // Ticket 7: mean .5, std .5.  Ticket 8: mean 1, std sqrt((9 + 1 + 1 + 1) / 4) = sqrt(3).
  const double a = .5 / (.5 + 1e-6), b = 3 / (std::sqrt(3) + 1e-6), c = -1 / (std::sqrt(3) + 1e-6);
  EXPECT_THAT(out.values, ElementsAre(FloatNear(a, 1e-6), FloatNear(-a, 1e-6), FloatNear(-a, 1e-6), FloatNear(a, 1e-6),
                                      FloatNear(b, 1e-6), FloatNear(c, 1e-6), FloatNear(c, 1e-6), FloatNear(c, 1e-6)));
  EXPECT_THAT(out.group, ElementsAre(0, 0, 0, 0, 1, 1, 1, 1));
  EXPECT_EQ(out.groups_without_variance, 0u);
}

TEST_F(AdvantagesTest, RolesOfOneTicketAreComparedWithTheirLikeOnly) {
  Add(7, 0, "executor", {1}, 1);
  Add(7, 1, "executor", {1}, 0);
  Add(7, 0, "planner", {1}, 3);
  Add(7, 1, "planner", {1}, 5);
  const Advantages out = Compute(proto::TASK, /*divide_by_std=*/false);
  EXPECT_THAT(out.values, ElementsAre(.5f, -.5f, -1.f, 1.f));
  EXPECT_THAT(out.group, ElementsAre(0, 0, 1, 1));
}

TEST_F(AdvantagesTest, StepComparesIdenticalPromptsOfOneTicket) {
  Add(7, 0, "executor", {1, 2}, 1);
  Add(7, 0, "executor", {3}, 1);  // no one else had this step
  Add(7, 1, "executor", {1, 2}, 0);
  Add(7, 2, "executor", {1, 2}, 0);
  Add(8, 0, "executor", {1, 2}, 1);  // the same prompt, but of another ticket
  const Advantages out = Compute(proto::STEP, /*divide_by_std=*/false);
  EXPECT_THAT(out.values,
              ElementsAre(FloatNear(2. / 3, 1e-6), 0.f, FloatNear(-1. / 3, 1e-6), FloatNear(-1. / 3, 1e-6), 0.f));
  EXPECT_THAT(out.group, ElementsAre(0, -1, 0, 0, -1));
  EXPECT_EQ(out.groups_without_variance, 2u);
}

TEST_F(AdvantagesTest, GroupsWithoutVarianceAreLeftOutAndCounted) {
  for (int i = 0; i < 3; ++i) Add(7, 0, "planner", {1}, 0.1f);  // a mean of 0.1f three times need not be 0.1f
  Add(8, 0, "planner", {1}, 1);                                 // alone
  const Advantages out = Compute(proto::TASK, /*divide_by_std=*/true);
  EXPECT_THAT(out.values, ElementsAre(0.f, 0.f, 0.f, 0.f));
  EXPECT_THAT(out.group, ElementsAre(-1, -1, -1, -1));
  EXPECT_EQ(out.groups_without_variance, 2u);
}

TEST_F(AdvantagesTest, MaskedTurnsCountForNothing) {
  Add(7, 0, "executor", {1}, 1);
  Add(7, 1, "executor", {1}, 0);
  Add(7, 2, "executor", {1}, 100).masked = true;
  Add(7, 3, "executor", {1}, 100).loss_mask = no_mask_;
  const Advantages out = Compute(proto::TASK, /*divide_by_std=*/false);
  EXPECT_THAT(out.values, ElementsAre(.5f, -.5f, 0.f, 0.f));
  EXPECT_THAT(out.group, ElementsAre(0, 0, -1, -1));
  EXPECT_EQ(out.groups_without_variance, 0u);
}

TEST_F(AdvantagesTest, ARaggedGroupChangesWeightsOnly) {
  // Episode 0 has three steps, episode 1 has one: the mean is over turns, (3 * 1 + 0) / 4.
  for (int i = 0; i < 3; ++i) Add(7, 0, "executor", {1}, 1);
  Add(7, 1, "executor", {1}, 0);
  const Advantages out = Compute(proto::TASK, /*divide_by_std=*/false);
  EXPECT_THAT(out.values, ElementsAre(.25f, .25f, .25f, -.75f));
}

}  // namespace
}  // namespace tandem
