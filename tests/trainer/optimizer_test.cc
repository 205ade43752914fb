#include "trainer/optimizer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace tandem {
namespace {

TEST(ScheduleTest, RisesThenFallsToItsFinalFraction) {
  const Schedule schedule{.peak = 1, .warmup_steps = 4, .final_fraction = .2, .steps = 10};
  // Up by 1/5 a step, the peak in step 4, then down by (1 - .2) / 5 a step.
  const double expected[] = {.2, .4, .6, .8, 1, .84, .68, .52, .36, .2, .2};
  for (uint32_t step = 0; step < std::size(expected); ++step) {
    EXPECT_NEAR(schedule.At(step), expected[step], 1e-12) << "step " << step;
  }
}

TEST(ScheduleTest, ShortRunsAndNoWarmup) {
  EXPECT_DOUBLE_EQ((Schedule{.peak = 3, .warmup_steps = 0, .final_fraction = .5, .steps = 1}).At(0), 3);
  EXPECT_DOUBLE_EQ((Schedule{.peak = 3, .warmup_steps = 0, .final_fraction = .5, .steps = 2}).At(1), 1.5);
  EXPECT_DOUBLE_EQ((Schedule{.peak = 3, .warmup_steps = 5, .final_fraction = .5, .steps = 2}).At(1), 1);  // 3 * 2 / 6
}

TEST(AdamWTest, TwoStepsByHand) {
  at::Tensor weight = at::ones({1});
  AdamW adam(weight, {.beta1 = .9, .beta2 = .95, .epsilon = 1e-8, .weight_decay = .1});
  // g = .5. Decay: 1 * (1 - .1 * .1) = .99. m = .1 * .5, v = .05 * .25; corrected .5 and .25: .99 - .1 * .5 / .5 = .89
  adam.Update(weight, at::full({1}, .5f), /*learning_rate=*/.1, /*scale=*/1);
  EXPECT_NEAR(weight.item<float>(), .89, 1e-6);
  // g = -.25 (-1 scaled by a quarter). Decay: .89 * .99 = .8811. m = .9 * .05 - .1 * .25 = .02,
  // v = .95 * .0125 + .05 * .0625 = .015; corrected .02 / .19 and .015 / .0975.
  adam.Update(weight, at::full({1}, -1.f), /*learning_rate=*/.1, /*scale=*/.25);
  EXPECT_NEAR(weight.item<float>(), .8811 - .1 * (.02 / .19) / std::sqrt(.015 / .0975), 1e-6);
  EXPECT_EQ(adam.updates(), 2u);
}

TEST(AdamWTest, AtLearningRateZeroNothingMoves) {
  at::Tensor weight = at::full({3}, .7f);
  AdamW adam(weight, {.weight_decay = .5});
  adam.Update(weight, at::ones({3}), /*learning_rate=*/0, /*scale=*/1);
  EXPECT_TRUE(weight.equal(at::full({3}, .7f)));
}

TEST(AdamWTest, ARestoredStateGoesOnExactly) {
  at::Tensor straight = at::linspace(-1, 1, 101), resumed = straight.clone();
  const at::Tensor gradient = at::linspace(2, -1, 101);
  AdamW one(straight, {}), other(resumed, {}), fresh(resumed, {});
  for (AdamW* adam : {&one, &other}) adam->Update(adam == &one ? straight : resumed, gradient, .01, 1);
  fresh.Restore(other.Save());
  one.Update(straight, gradient, .01, 1);
  fresh.Update(resumed, gradient, .01, 1);
  EXPECT_TRUE(straight.equal(resumed));
  fresh.Reset();
  EXPECT_EQ(fresh.updates(), 0u);
  EXPECT_EQ(fresh.Save().second.sum().item<float>(), 0);
}

TEST(GradientNormTest, IsEuclideanAndShowsWhatIsNotFinite) {
  EXPECT_DOUBLE_EQ(GradientNorm(at::tensor({3.f, 0.f, 4.f, 0.f, 12.f})), 13);  // 9 + 16 + 144 = 169
  EXPECT_FALSE(std::isfinite(GradientNorm(at::tensor({1.f, NAN}))));
  EXPECT_FALSE(std::isfinite(GradientNorm(at::tensor({1.f, INFINITY}))));
}

}  // namespace
}  // namespace tandem
