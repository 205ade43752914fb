#include "trainer/loss.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace tandem {
namespace {

using ::testing::HasSubstr;

// A token by its probabilities; the losses see logarithms.
struct Token {
  double behaviour, proximal, now, advantage, mask = 1, reference = 1;
};

at::Tensor Column(const std::vector<Token>& tokens, double Token::*field, bool log) {
  std::vector<float> values;
  for (const Token& t : tokens) values.push_back(static_cast<float>(log ? std::log(t.*field) : t.*field));
  return at::tensor(at::ArrayRef<float>(values), at::kFloat);
}

LossInput Input(const std::vector<Token>& tokens, double token_count) {
  return {.new_logprobs = Column(tokens, &Token::now, true).requires_grad_(),
          .behaviour_logprobs = Column(tokens, &Token::behaviour, true),
          .proximal_logprobs = Column(tokens, &Token::proximal, true),
          .reference_logprobs = Column(tokens, &Token::reference, true),
          .advantages = Column(tokens, &Token::advantage, false),
          .mask = Column(tokens, &Token::mask, false),
          .ages = {},
          .sequence = {},
          .advantage_group = {},
          .token_count = token_count};
}

void ExpectGradient(const LossInput& input, const std::vector<double>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(input.new_logprobs.grad()[static_cast<int64_t>(i)].item<float>(), expected[i], 1e-6) << "token " << i;
  }
}

proto::LossConfig Config(double clip, double cap = 5) {
  proto::LossConfig config;
  config.set_clip(clip);
  config.set_importance_cap(cap);
  return config;
}

const std::vector<Token> kTokens = {
    {.5, .5, .5, 1},           // nothing moved
    {.25, .5, .75, 2},         // gained, ratio above the clip
    {.1, .5, .25, 1},          // gained, ratio below the clip: not clipped; weight above the cap
    {.5, .5, .25, -1},         // lost, ratio below the clip
    {.5, .25, .5, -1},         // lost, ratio above the clip: not clipped
    {.001, .9, .999, 100, 0},  // masked
};

TEST(DecoupledPpoTest, GoldenValuesOfEveryBranch) {
  const LossInput input = Input(kTokens, /*token_count=*/10);  // five of the ten are another rank's
  const LossOutput out = DecoupledPpoLoss(input, Config(.2, /*cap=*/2));
  // w = proximal / behaviour: 1, 2, 5 -> 2, 1, 0.5.     u = new / proximal: 1, 1.5, 0.5, 0.5, 2.
  // w min(u A, clip(u) A):  1 min(1, 1) = 1;        2 min(3, 2.4) = 4.8;     2 min(.5, .8) = 1;
  //                         1 min(-.5, -.8) = -.8;  .5 min(-2, -1.2) = -1;   masked.
  // loss = -(1 + 4.8 + 1 - .8 - 1) / 10
  EXPECT_NEAR(out.loss.item<float>(), -0.5, 1e-6);
  out.loss.backward();
  // -w u A / 10 where the clip left the gradient: -1/10, 0, -2 * .5 / 10, 0, +.5 * 2 / 10, masked.
  ExpectGradient(input, {-.1, 0, -.1, 0, .1, 0});
  EXPECT_EQ(out.sums.tokens, 5);
  EXPECT_EQ(out.sums.clipped, 2);
  EXPECT_NEAR(out.sums.importance_weight, 1 + 2 + 5 + 1 + .5, 1e-5);  // before the cap
  EXPECT_NEAR(out.sums.importance_weight_squared, 1 + 4 + 25 + 1 + .25, 1e-4);
  // k3 of r = new / behaviour: r - 1 - log r, with r = 1, 3, 2.5, .5, 1.
  EXPECT_NEAR(out.sums.kl, (2 - std::log(3)) + (1.5 - std::log(2.5)) + (-.5 - std::log(.5)), 1e-5);
}

TEST(DecoupledPpoTest, TheKlPenaltyPullsTowardsTheReference) {
  proto::LossConfig config = Config(.2);
  config.set_kl_coefficient(.5);
  // One token at .25 whose reference is .5, without advantage; and a masked one.
  const LossInput input = Input({{.25, .25, .25, 0, 1, .5}, {.25, .25, .25, 0, 0, .9}}, /*token_count=*/4);
  const LossOutput out = DecoupledPpoLoss(input, config);
  // k3 = r - 1 - log r with r = reference / new = 2: 1 - log 2. Times .5 / 4.
  EXPECT_NEAR(out.loss.item<float>(), (1 - std::log(2)) * .5 / 4, 1e-6);
  out.loss.backward();
  ExpectGradient(input, {(1 - 2.0) * .5 / 4, 0});  // d k3 / d log new = 1 - r
}

TEST(GrpoTest, GoldenValuesOfEveryBranch) {
  const LossInput input = Input(kTokens, /*token_count=*/5);
  const LossOutput out = GrpoLoss(input, Config(.2));
  // r = new / behaviour: 1, 3, 2.5, .5, 1.
  // min(r A, clip(r) A): 1; min(6, 2.4) = 2.4; min(2.5, 1.2) = 1.2; min(-.5, -.8) = -.8; -1.
  EXPECT_NEAR(out.loss.item<float>(), -(1 + 2.4 + 1.2 - .8 - 1) / 5, 1e-6);
  out.loss.backward();
  ExpectGradient(input, {-1. / 5, 0, 0, 0, 1. / 5, 0});
  EXPECT_EQ(out.sums.tokens, 5);
  EXPECT_EQ(out.sums.clipped, 3);
  EXPECT_NEAR(out.sums.importance_weight, 1 + 2 + 5 + 1 + .5, 1e-5);  // proximal / behaviour where it is known
}

TEST(GrpoTest, WithoutProximalTheImportanceWeightIsTheRatio) {
  LossInput input = Input(kTokens, 5);
  input.proximal_logprobs = at::Tensor();
  EXPECT_NEAR(GrpoLoss(input, Config(.2)).sums.importance_weight, 1 + 3 + 2.5 + .5 + 1, 1e-5);
}

TEST(NegativeLogLikelihoodTest, IsTheMeanOverTheUnmaskedTokensOfAllRanks) {
  const LossInput input = Input({{1, 1, .5, 0}, {1, 1, .25, 0}, {1, 1, .1, 0, 0}}, /*token_count=*/4);
  const LossOutput out = NegativeLogLikelihood(input, {});
  EXPECT_NEAR(out.loss.item<float>(), (std::log(2) + std::log(4)) / 4, 1e-6);
  out.loss.backward();
  ExpectGradient(input, {-.25, -.25, 0});
  EXPECT_EQ(out.sums.tokens, 2);
}

LossOutput Twice(const LossInput& input, const proto::LossConfig& config) {
  LossOutput out = GrpoLoss(input, config);
  out.loss = out.loss * 2;
  return out;
}

TEST(LossRegistryTest, FindsWhatWasRegisteredAndListsWhatThereIs) {
  EXPECT_TRUE(FindLoss("decoupled_ppo")->needs_proximal);
  EXPECT_FALSE(FindLoss("grpo")->needs_proximal);
  RegisterLoss("twice_grpo", {&Twice, /*needs_proximal=*/false});
  EXPECT_EQ(FindLoss("twice_grpo")->function, &Twice);
  const absl::Status unknown = FindLoss("pp0").status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("'pp0' is unknown; expected one of decoupled_ppo, grpo"));
}

}  // namespace
}  // namespace tandem
