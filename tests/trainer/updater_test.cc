#include "trainer/updater.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "tests/trainer/synthetic_batch.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kSeed = 20261;

std::unique_ptr<Updater> Make(proto::PolicyConfig config = SmallPolicy(), int64_t tokens_per_pass = 0) {
  static const std::unique_ptr<Collective> alone = MakeLocalCollective();
  auto updater = Updater::Create({.policy = "planner",
                                  .config = std::move(config),
                                  .shape = SmallShape(),
                                  .sft_steps = 50,
                                  .train_steps = 50,
                                  .seed = kSeed,
                                  .tokens_per_pass = tokens_per_pass},
                                 *alone);
  EXPECT_TRUE(updater.ok()) << updater.status();
  return *std::move(updater);
}

TrainingBatch TrainBatch(uint32_t step, uint32_t oldest = 0, uint64_t seed = kSeed) {
  return MakeBatch(RandomGroups(seed + step, 11, 6, 4, proto::TRAIN, step, oldest), proto::TRAIN, step);
}

StepResult Step(Updater& updater, const TrainingBatch& batch) {
  auto result = updater.Step(batch);
  EXPECT_TRUE(result.ok()) << result.status();
  return *std::move(result);
}

std::string Weights(Updater& updater) { return *updater.WeightBytes(); }

// Writes into the groups what the updater's own weights say of their tokens, as an engine with the same weights would.
void WriteOwnLogprobs(Updater& updater, std::vector<SyntheticGroup>& groups) {
  auto model = *Model::Create(SmallShape(), "cpu", false);
  const std::vector<float> weights = updater.Save()->weights;
  const at::NoGradGuard no_grad;
  model->flat().copy_(at::tensor(at::ArrayRef<float>(weights)));
  for (SyntheticGroup& group : groups) {
    for (SyntheticEpisode& episode : group.episodes) {
      TurnTokens& t = episode.turns[0].tokens;
      PackedSequences s;
      s.ids = t.prompt_ids;
      s.ids.insert(s.ids.end(), t.output_ids.begin(), t.output_ids.end());
      s.lengths = {static_cast<int32_t>(s.ids.size())};
      for (size_t i = t.prompt_ids.size(); i < s.ids.size(); ++i) s.targets.push_back(static_cast<int32_t>(i));
      const at::Tensor logprobs = model->Score(s).logprobs.contiguous();
      const float* data = logprobs.const_data_ptr<float>();
      t.sampled_logprobs.assign(data, data + t.output_ids.size());
      t.model_logprobs = t.sampled_logprobs;
    }
  }
}

TEST(UpdaterTest, TheSameBatchesGiveTheSameBits) {
  auto one = Make(), other = Make();
  const std::string start = Weights(*one);
  for (uint32_t step = 0; step < 3; ++step) {
    Step(*one, TrainBatch(step, 2));
    Step(*other, TrainBatch(step, 2));
  }
  EXPECT_EQ(Weights(*one), Weights(*other));
  EXPECT_NE(Weights(*one), start);
}

TEST(UpdaterTest, TheOrderOfArrivalDoesNotMatter) {
  auto groups = RandomGroups(kSeed, 11, 8, 4, proto::TRAIN, 5, 3);
  auto one = Make(), other = Make();
  Step(*one, MakeBatch(groups, proto::TRAIN, 5));
  std::reverse(groups.begin(), groups.end());
  std::swap(groups[1], groups[6]);
  for (SyntheticGroup& group : groups) {
    for (SyntheticEpisode& episode : group.episodes) std::reverse(episode.turns.begin(), episode.turns.end());
  }
  Step(*other, MakeBatch(groups, proto::TRAIN, 5));
  EXPECT_EQ(Weights(*one), Weights(*other));
}

TEST(UpdaterTest, PassesAreSummedUp) {
  auto whole = Make(SmallPolicy(), /*tokens_per_pass=*/1 << 20), pieces = Make(SmallPolicy(), /*tokens_per_pass=*/20);
  const StepResult a = Step(*whole, TrainBatch(3, 2)), b = Step(*pieces, TrainBatch(3, 2));
  EXPECT_NEAR(a.metrics.loss(), b.metrics.loss(), 1e-5);
  EXPECT_NEAR(a.metrics.grad_norm(), b.metrics.grad_norm(), 1e-5 * a.metrics.grad_norm() + 1e-6);
  EXPECT_NEAR(a.metrics.entropy(), b.metrics.entropy(), 1e-5);
  const std::vector<float> x = whole->Save()->first, y = pieces->Save()->first;
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], 1e-5) << "moment " << i;
}

TEST(UpdaterTest, AtLearningRateZeroTheImportanceWeightIsOneAndNothingMoves) {
  proto::PolicyConfig config = SmallPolicy();
  config.mutable_optimizer()->set_learning_rate(0);
  auto updater = Make(config);
  const std::string start = Weights(*updater);
  auto groups = RandomGroups(kSeed, 11, 6, 4, proto::TRAIN, 4, 3);
  WriteOwnLogprobs(*updater, groups);
  const proto::StepMetrics metrics = Step(*updater, MakeBatch(groups, proto::TRAIN, 4)).metrics;
  EXPECT_EQ(Weights(*updater), start);
  EXPECT_NEAR(metrics.importance_weight_mean(), 1, 1e-5);
  EXPECT_NEAR(metrics.ess(), 1, 1e-5);
  EXPECT_EQ(metrics.clip_fraction(), 0);
  EXPECT_NEAR(metrics.kl(), 0, 1e-6);
  EXPECT_NEAR(metrics.mismatch(), 0, 1e-5);
  EXPECT_GT(metrics.entropy(), 0.5);
  EXPECT_GT(metrics.grad_norm(), 0);
}

TEST(UpdaterTest, MetricsAddUp) {
  // Two groups of two episodes; the first has variance. The planner's turns have 3 output tokens each.
  const auto turn = [](std::vector<std::pair<uint32_t, uint32_t>> runs) {
    return SyntheticTurn{.tokens = Tokens({1, 2}, {3, 4, 5}), .runs = std::move(runs)};
  };
  const std::vector<SyntheticGroup> groups = {
      {.ticket = 0, .episodes = {{1, {turn({{4, 1}, {6, 2}})}}, {0, {turn({{7, 3}})}}}},
      {.ticket = 1, .episodes = {{1, {turn({{3, 3}})}}, {1, {turn({{7, 3}})}}}}};
  auto updater = Make();
  const StepResult result = Step(*updater, MakeBatch(groups, proto::TRAIN, 7));
  const proto::StepMetrics& m = result.metrics;
  EXPECT_TRUE(result.accepted);
  EXPECT_EQ(result.tokens, 2 * 5);  // the two turns with an advantage, prompts and outputs
  EXPECT_EQ(m.policy(), "planner");
  EXPECT_EQ(m.step(), 8u);
  EXPECT_EQ(m.version(), 8u);
  EXPECT_EQ(m.episodes(), 4u);
  EXPECT_EQ(m.turns(), 4u);
  EXPECT_EQ(m.tokens_trained(), 6u);
  EXPECT_EQ(m.groups_without_variance(), 1u);
  EXPECT_DOUBLE_EQ(m.reward_mean(), .75);
  EXPECT_DOUBLE_EQ(m.mixed_version_turns(), .25);
  EXPECT_THAT(m.staleness_histogram(), ::testing::ElementsAre(3, 2, 0, 1));  // ages 3, 1, 1 and 0, 0, 0
  EXPECT_DOUBLE_EQ(m.staleness_mean(), 5. / 6);
  EXPECT_EQ(m.staleness_max(), 3u);
  EXPECT_EQ(m.staleness_bound(), 4u);
}

TEST(UpdaterTest, WithoutVarianceThereIsAVersionButNoMove) {
  auto groups = RandomGroups(kSeed, 11, 3, 4, proto::TRAIN, 2, 1);
  for (SyntheticGroup& group : groups) {
    for (SyntheticEpisode& episode : group.episodes) episode.reward = 1;
  }
  auto updater = Make();
  Step(*updater, TrainBatch(1));  // gives the optimizer some momentum
  const std::string start = Weights(*updater);
  const uint64_t updates = updater->Save()->updates;
  const StepResult result = Step(*updater, MakeBatch(groups, proto::TRAIN, 2));
  EXPECT_TRUE(result.accepted);
  EXPECT_EQ(result.metrics.version(), 3u);
  EXPECT_EQ(result.metrics.groups_without_variance(), 3u);
  EXPECT_EQ(result.metrics.tokens_trained(), 0u);
  EXPECT_TRUE(std::isnan(result.metrics.mismatch())) << "0 would say that engine and trainer agree";
  EXPECT_EQ(Weights(*updater), start);
  EXPECT_EQ(updater->Save()->updates, updates);
}

TEST(UpdaterTest, StaleTokensAreRefused) {
  proto::PolicyConfig config = SmallPolicy();
  config.mutable_staleness()->set_bound(1);
  auto updater = Make(config);
  EXPECT_EQ(updater->Step(TrainBatch(9, /*oldest=*/6)).status().code(), absl::StatusCode::kFailedPrecondition);
}

// A behaviour log-probability that stands for "this turn breaks the loss": the frames themselves hold finite numbers
// only.
constexpr float kPoison = -77;

LossOutput Breakable(const LossInput& input, const proto::LossConfig& config) {
  LossOutput out = DecoupledPpoLoss(input, config);
  if ((input.behaviour_logprobs == kPoison).any().item<bool>()) {
    out.loss = out.loss * std::numeric_limits<float>::quiet_NaN();
  }
  return out;
}

TEST(UpdaterTest, ANonFiniteMinibatchUndoesTheWholeStep) {
  RegisterLoss("breakable", {&Breakable, /*needs_proximal=*/true});
  proto::PolicyConfig config = SmallPolicy();
  config.mutable_loss()->set_name("breakable");
  config.mutable_loss()->set_minibatches(3);
  std::vector<bool> broken_in(4, false);
  for (size_t victim = 0; victim < 8; ++victim) {
    auto updater = Make(config);
    Step(*updater, TrainBatch(0));
    auto groups = RandomGroups(kSeed, 11, 2, 4, proto::TRAIN, 1, 0);
    for (SyntheticGroup& group : groups) {
      for (size_t e = 0; e < 4; ++e) group.episodes[e].reward = static_cast<float>(e % 2);
    }
    auto poisoned = groups;
    TurnTokens& tokens = poisoned[victim / 4].episodes[victim % 4].turns[0].tokens;
    std::fill(tokens.sampled_logprobs.begin(), tokens.sampled_logprobs.end(), kPoison);
    const UpdaterState before = *updater->Save();
    const StepResult result = Step(*updater, MakeBatch(poisoned, proto::TRAIN, 1));
    EXPECT_FALSE(result.accepted);
    EXPECT_EQ(result.metrics.version(), 1u);
    for (size_t m = 1; m <= 3; ++m) {
      if (result.why == "loss or gradient of minibatch " + std::to_string(m) + " of 3 is not finite")
        broken_in[m] = true;
    }
    const UpdaterState after = *updater->Save();
    EXPECT_EQ(before.weights, after.weights);
    EXPECT_EQ(before.first, after.first);
    EXPECT_EQ(before.second, after.second);
    EXPECT_EQ(before.updates, after.updates);
    // And it goes on as if nothing had been.
    EXPECT_TRUE(Step(*updater, MakeBatch(groups, proto::TRAIN, 1)).accepted);
  }
  EXPECT_TRUE(broken_in[1] && broken_in[2] && broken_in[3]) << "the cases do not cover every minibatch; seed " << kSeed;
}

TEST(UpdaterTest, AResumedUpdaterGoesOnExactly) {
  proto::PolicyConfig config = SmallPolicy();
  config.mutable_loss()->set_kl_coefficient(.1);
  auto straight = Make(config);
  const TrainingBatch warm = MakeBatch(RandomGroups(1, 11, 5, 3, proto::SFT, 0), proto::SFT, 0);
  Step(*straight, warm);
  ASSERT_TRUE(straight->BeginReinforcement().ok());
  for (uint32_t step = 0; step < 2; ++step) Step(*straight, TrainBatch(step, 1));

  auto resumed = Make(config);
  ASSERT_TRUE(resumed->Restore(*straight->Save()).ok());
  for (uint32_t step = 2; step < 4; ++step) {
    const StepResult a = Step(*straight, TrainBatch(step, 1)), b = Step(*resumed, TrainBatch(step, 1));
    EXPECT_EQ(a.metrics.SerializeAsString(), b.metrics.SerializeAsString());
  }
  EXPECT_EQ(Weights(*straight), Weights(*resumed));
}

TEST(UpdaterTest, AStateOfAnotherShapeIsRefused) {
  auto updater = Make();
  UpdaterState state = *updater->Save();
  state.first.pop_back();
  EXPECT_THAT(std::string(updater->Restore(state).message()), HasSubstr("parameters, the model has"));
}

TEST(UpdaterTest, TheWarmStartLearnsItsTracesAndLeavesNoMomentum) {
  auto updater = Make();
  auto groups = RandomGroups(3, 11, 4, 2, proto::SFT, 0);
  std::vector<double> losses;
  for (uint32_t step = 0; step < 40; ++step) {
    losses.push_back(Step(*updater, MakeBatch(groups, proto::SFT, step)).metrics.loss());
  }
  EXPECT_LT(losses.back(), losses.front() / 2);
  const std::string before = Weights(*updater);
  ASSERT_TRUE(updater->BeginReinforcement().ok());
  EXPECT_EQ(Weights(*updater), before);
  const UpdaterState state = *updater->Save();
  EXPECT_EQ(state.updates, 0u);
  EXPECT_TRUE(std::all_of(state.first.begin(), state.first.end(), [](float m) { return m == 0; }));
}

TEST(UpdaterTest, RewardedTokensBecomeMoreProbable) {
  proto::PolicyConfig config = SmallPolicy();
  for (const char* loss : {"decoupled_ppo", "grpo"}) {
    config.mutable_loss()->set_name(loss);
    auto updater = Make(config);
    // The same prompt; output 3 is right, output 4 is wrong.
    const auto turn = [](int32_t id) { return SyntheticTurn{.tokens = Tokens({1, 2}, {id}), .runs = {{0, 1}}}; };
    std::vector<SyntheticGroup> groups = {
        {.ticket = 0, .episodes = {{1, {turn(3)}}, {0, {turn(4)}}, {1, {turn(3)}}, {0, {turn(4)}}}}};
    WriteOwnLogprobs(*updater, groups);
    const auto margin = [&] {
      auto now = groups;
      WriteOwnLogprobs(*updater, now);
      return now[0].episodes[0].turns[0].tokens.model_logprobs[0] -
             now[0].episodes[1].turns[0].tokens.model_logprobs[0];
    };
    const float before = margin();
    for (uint32_t step = 0; step < 2; ++step) Step(*updater, MakeBatch(groups, proto::TRAIN, step));
    EXPECT_GT(margin(), before + .05f) << loss;
  }
}

TEST(UpdaterTest, TheKlPenaltyHoldsThePolicyBack) {
  const auto distance = [](double coefficient) {
    proto::PolicyConfig config = SmallPolicy();
    config.mutable_loss()->set_kl_coefficient(coefficient);
    auto updater = Make(config);
    EXPECT_TRUE(updater->BeginReinforcement().ok());
    auto groups = RandomGroups(kSeed, 11, 6, 4, proto::TRAIN, 0, 0);
    WriteOwnLogprobs(*updater, groups);
    double kl = 0;
    for (uint32_t step = 0; step < 8; ++step) {
      kl = Step(*updater, MakeBatch(groups, proto::TRAIN, 0)).metrics.kl();  // behaviour is version 0 throughout
    }
    return kl;
  };
  EXPECT_LT(distance(3), distance(0) * .7);
}

}  // namespace
}  // namespace tandem
