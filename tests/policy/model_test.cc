#include "policy/model.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/device.h"
#include "tests/policy/family_shapes.h"
#include "tests/policy/plain_transformer.h"
#include "tests/policy/random_sequences.h"

namespace tandem {
namespace {

struct Shape {
  const char* name;
  ModelConfig config;
};

ModelConfig Config(int64_t hidden, int64_t layers, int64_t heads, int64_t kv_heads, int64_t intermediate, bool tied) {
  return {.vocabulary = 23,
          .hidden = hidden,
          .layers = layers,
          .heads = heads,
          .kv_heads = kv_heads,
          .intermediate = intermediate,
          .context = 64,
          .tied_head = tied};
}

std::unique_ptr<Model> MakeModel(const ModelConfig& config, uint64_t seed, bool bf16 = false) {
  auto model = Model::Create(config, "cpu", bf16);
  EXPECT_TRUE(model.ok()) << model.status();
  (*model)->flat().copy_(RandomWeights(config, seed, 0.12));
  return *std::move(model);
}

double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

// A weighted sum of log-probabilities: like a policy gradient, of either sign.
at::Tensor Loss(const at::Tensor& logprobs) {
  return (logprobs * at::linspace(-1, 2, logprobs.size(0), logprobs.options())).sum() / logprobs.size(0);
}

class ModelShapeTest : public testing::TestWithParam<Shape> {};

TEST_P(ModelShapeTest, LogProbabilitiesAndEntropyEqualThoseOfPlainOperations) {
  const ModelConfig& config = GetParam().config;
  const auto model = MakeModel(config, 1);
  PlainTransformer plain(config, model->flat().to(at::kDouble));
  const PackedSequences sequences = RandomSequences(2, 40, 1, 64, 5, config.vocabulary);
  const TokenScores scores = model->Score(sequences), expected = plain.Score(sequences);
  EXPECT_LT(LargestDifference(scores.logprobs, expected.logprobs), 2e-5);
  EXPECT_LT(LargestDifference(scores.entropy, expected.entropy), 2e-5);
  EXPECT_FALSE(scores.entropy.requires_grad());
  EXPECT_GT(expected.logprobs.std().item<double>(), 0.5) << "the weights are too small for this test to mean anything";
}

TEST_P(ModelShapeTest, GradientsEqualThoseOfPlainOperationsInDouble) {
  const ModelConfig& config = GetParam().config;
  const auto model = MakeModel(config, 3);
  PlainTransformer plain(config, model->flat().to(at::kDouble));
  const PackedSequences sequences = RandomSequences(4, 70, 1, 40, 8, config.vocabulary);  // more than one chunk
  Loss(model->Score(sequences).logprobs).backward();
  Loss(plain.Score(sequences).logprobs).backward();
  const at::Tensor expected = plain.Grad();
  for (const Parameter& p : ParameterLayout(config)) {
    const at::Tensor ours = model->grad().narrow(0, p.offset, p.size());
    const at::Tensor theirs = expected.narrow(0, p.offset, p.size());
    const double scale = theirs.abs().max().item<double>();
    EXPECT_GT(scale, 0) << p.name;
    EXPECT_LT(LargestDifference(ours, theirs), 2e-5 * scale + 1e-7) << p.name;
  }
}

TEST_P(ModelShapeTest, GradientsEqualFiniteDifferences) {
  const ModelConfig& config = GetParam().config;
  const auto model = MakeModel(config, 5);
  const PackedSequences sequences = RandomSequences(6, 12, 2, 20, 3, config.vocabulary);
  Loss(model->Score(sequences).logprobs).backward();
  const at::Tensor flat = model->flat().to(at::kDouble);
  const auto loss_at = [&](const at::Tensor& weights) {
    const at::NoGradGuard no_grad;
    return Loss(PlainTransformer(config, weights).Score(sequences).logprobs).item<double>();
  };
  for (uint64_t direction = 0; direction < 3; ++direction) {
    const at::Tensor v = RandomWeights(config, 100 + direction, 1).to(at::kDouble);
    const double step = 1e-5;
    const double slope = (loss_at(flat + step * v) - loss_at(flat - step * v)) / (2 * step);
    const double ours = (model->grad().to(at::kDouble) * v).sum().item<double>();
    EXPECT_NEAR(ours, slope, 1e-4 * std::abs(slope) + 1e-4) << "direction " << direction;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ModelShapeTest,
                         testing::Values(Shape{"Plain", Config(64, 2, 4, 4, 192, true)},
                                         Shape{"Grouped", Config(48, 2, 6, 2, 80, true)},
                                         Shape{"UntiedOneKeyHead", Config(32, 3, 4, 1, 72, false)},
                                         Shape{"OddSizes", Config(30, 1, 3, 3, 41, false)},
                                         Shape{"Qwen2", Qwen2Shape()}, Shape{"Qwen3", Qwen3Shape()},
                                         Shape{"Llama3", Llama3Shape()}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(ModelTest, ASequenceScoresTheSameWhateverItIsPackedWith) {
  const ModelConfig config = Config(64, 2, 4, 2, 96, true);
  const auto model = MakeModel(config, 7);
  const at::NoGradGuard no_grad;
  const PackedSequences all = RandomSequences(8, 90, 1, 64, 4, config.vocabulary);  // several chunks
  const at::Tensor together = model->Score(all).logprobs;
  int64_t token = 0, target = 0;
  for (const int32_t length : all.lengths) {
    PackedSequences one;
    one.lengths = {length};
    one.ids.assign(all.ids.begin() + token, all.ids.begin() + token + length);
    const int64_t first = target;
    for (; target < static_cast<int64_t>(all.targets.size()) && all.targets[target] < token + length; ++target) {
      one.targets.push_back(all.targets[target] - static_cast<int32_t>(token));
    }
    const at::Tensor alone = model->Score(one).logprobs;
    EXPECT_TRUE(at::equal(alone, together.narrow(0, first, target - first))) << "the sequence at token " << token;
    token += length;
  }
}

TEST(ModelTest, LaterTokensDoNotReachEarlierOnes) {
  const ModelConfig config = Config(32, 2, 4, 4, 64, true);
  const auto model = MakeModel(config, 9);
  const at::NoGradGuard no_grad;
  PackedSequences s = {.ids = {1, 2, 3, 4, 5, 6, 7}, .lengths = {7}, .targets = {1, 2, 3}};
  const at::Tensor before = model->Score(s).logprobs;
  s.ids = {1, 2, 3, 4, 9, 9, 9};
  EXPECT_TRUE(at::equal(before, model->Score(s).logprobs));
  s.ids = {2, 2, 3, 4, 9, 9, 9};
  EXPECT_FALSE(at::equal(before, model->Score(s).logprobs));
}

TEST(ModelTest, ScoresComeInTheOrderOfTheTargets) {
  const ModelConfig config = Config(32, 1, 2, 2, 64, true);
  const auto model = MakeModel(config, 10);
  PackedSequences s = RandomSequences(11, 60, 20, 40, 3, config.vocabulary);
  const at::Tensor ascending = model->Score(s).logprobs;
  RandomStream random(12);
  std::vector<int64_t> from(s.targets.size());
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<int64_t>(i);
  for (size_t i = from.size(); i > 1; --i) std::swap(from[i - 1], from[random.Below(i)]);
  std::vector<int32_t> shuffled;
  for (const int64_t i : from) shuffled.push_back(s.targets[i]);
  s.targets = shuffled;
  EXPECT_TRUE(at::equal(model->Score(s).logprobs, ascending.index_select(0, at::tensor(from, at::kLong))));
}

TEST(ModelTest, NoTargetsGiveNoScores) {
  const ModelConfig config = Config(32, 1, 2, 2, 64, true);
  const auto model = MakeModel(config, 10);
  EXPECT_EQ(model->Score({.ids = {1, 2}, .lengths = {2}, .targets = {}}).logprobs.size(0), 0);
  EXPECT_EQ(model->Score({}).entropy.size(0), 0);
}

TEST(ModelTest, BackwardAddsToTheFlatGradient) {
  const ModelConfig config = Config(32, 2, 4, 2, 64, true);
  const auto model = MakeModel(config, 13);
  const PackedSequences s = RandomSequences(14, 10, 2, 30, 2, config.vocabulary);
  const at::Tensor grad = model->grad();
  Loss(model->Score(s).logprobs).backward();
  const at::Tensor once = grad.clone();
  EXPECT_GT(once.abs().max().item<double>(), 0);
  Loss(model->Score(s).logprobs).backward();
  EXPECT_TRUE(grad.is_same(model->grad()));
  EXPECT_LT(LargestDifference(grad, 2 * once), 1e-6);
  grad.zero_();
  Loss(model->Score(s).logprobs).backward();
  EXPECT_TRUE(at::equal(grad, once)) << "the same pass twice must give the same bits";
}

TEST(ModelTest, WritingTheFlatWeightsChangesTheModel) {
  const ModelConfig config = Config(32, 2, 4, 4, 64, false);
  const auto a = MakeModel(config, 15), b = MakeModel(config, 16);
  const PackedSequences s = RandomSequences(17, 5, 2, 30, 2, config.vocabulary);
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(at::equal(a->Score(s).logprobs, b->Score(s).logprobs));
  b->flat().copy_(a->flat());
  EXPECT_TRUE(at::equal(a->Score(s).logprobs, b->Score(s).logprobs));
}

TEST(ModelTest, InitialWeightsDependOnTheSeedAlone) {
  const ModelConfig config = Config(64, 2, 4, 2, 192, false);
  auto model = Model::Create(config, "cpu", false);
  ASSERT_TRUE(model.ok());
  (*model)->Initialise(5, 0.2);
  const at::Tensor five = (*model)->flat().clone();
  (*model)->Initialise(6, 0.2);
  EXPECT_FALSE(at::equal(five, (*model)->flat()));
  (*model)->Initialise(5, 0.2);
  EXPECT_TRUE(at::equal(five, (*model)->flat()));
  for (const Parameter& p : ParameterLayout(config)) {
    const at::Tensor part = five.narrow(0, p.offset, p.size());
    const double mean = part.mean().item<double>(), std = part.std().item<double>();
    double expected = p.shape.size() == 1 ? 0 : 1 / std::sqrt(p.shape[1]);
    if (p.name == "model.embed_tokens.weight") expected = 0.2;
    if (p.name.find("o_proj") != std::string::npos || p.name.find("down_proj") != std::string::npos) {
      expected /= 2;  // sqrt(2 * 2 layers)
    }
    EXPECT_NEAR(mean, p.shape.size() == 1 ? 1 : 0, 5 * expected / std::sqrt(p.size())) << p.name;
    EXPECT_NEAR(std, expected, 0.1 * expected) << p.name;
  }
}

TEST(ModelTest, Bf16ComesCloseToFloat32) {
  const ModelConfig config = Config(64, 2, 4, 2, 96, true);
  const auto exact = MakeModel(config, 18), rough = MakeModel(config, 18, /*bf16=*/true);
  const PackedSequences s = RandomSequences(19, 30, 1, 40, 3, config.vocabulary);
  const at::Tensor a = exact->Score(s).logprobs, b = rough->Score(s).logprobs;
  EXPECT_LT(LargestDifference(a, b), 0.15);
  EXPECT_GT(LargestDifference(a, b), 1e-5) << "not computed in bf16";
  Loss(a).backward();
  Loss(b).backward();
  const at::Tensor g = exact->grad(), h = rough->grad();
  EXPECT_GT(((g * h).sum() / (g.norm() * h.norm())).item<double>(), 0.99);
}

TEST(ModelTest, ImpossibleShapesAreRefused) {
  EXPECT_THAT(std::string(Model::Create(Config(64, 2, 5, 5, 64, true), "cpu", false).status().message()),
              testing::HasSubstr("heads: 5 does not divide hidden: 64"));
  EXPECT_THAT(std::string(Model::Create(Config(64, 0, 4, 4, 64, true), "cpu", false).status().message()),
              testing::HasSubstr("layers: 0"));
}

TEST(ModelDeathTest, WhatOnlyABugCanPassIsChecked) {
  const ModelConfig config = Config(32, 1, 2, 2, 64, true);
  const auto model = MakeModel(config, 20);
  EXPECT_DEATH(model->Score({.ids = {1, 99}, .lengths = {2}, .targets = {1}}), "bug");
  EXPECT_DEATH(model->Score({.ids = {1, 2}, .lengths = {2}, .targets = {0}}), "bug");
  EXPECT_DEATH(model->Score({.ids = {1, 2, 3}, .lengths = {2}, .targets = {1}}), "bug");
}

}  // namespace
}  // namespace tandem
