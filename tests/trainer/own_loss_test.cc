// A loss of one's own, as the README shows it.
#include <gtest/gtest.h>

// [README: begin]
#include <ATen/ATen.h>

#include "trainer/loss.h"

namespace tandem {

// REINFORCE with truncated importance sampling: -mean(min(new / behaviour, cap) * A * log new), no gradient in the
// weight.
LossOutput TruncatedReinforce(const LossInput& input, const proto::LossConfig& config) {
  const at::Tensor weight = (input.new_logprobs.detach() - input.behaviour_logprobs).exp();  // [tokens]
  const at::Tensor gain = weight.clamp_max(config.importance_cap()) * input.advantages * input.new_logprobs;
  return {-(gain * input.mask).sum() / input.token_count, SumUnmasked(input, weight, at::zeros_like(weight))};
}

// Called at the start of main; from then on `loss: {name: truncated_reinforce}` is known.
void RegisterTruncatedReinforce() {
  RegisterLoss("truncated_reinforce", {TruncatedReinforce, /*needs_proximal=*/false});
}

}  // namespace tandem
// [README: end]

namespace tandem {
namespace {

TEST(OwnLossTest, IsFoundByNameAndComputesWhatIsWorkedOutByHand) {
  RegisterTruncatedReinforce();
  const auto spec = FindLoss("truncated_reinforce");
  ASSERT_TRUE(spec.ok()) << spec.status();
  proto::LossConfig config;
  config.set_importance_cap(2);
  LossInput input;
  input.new_logprobs = at::tensor({-1.0f, -0.5f, -3.0f});
  // Weights: e^0 = 1; e^(-0.5 + 2.5) = 7.39, capped to 2; the third token is masked.
  input.behaviour_logprobs = at::tensor({-1.0f, -2.5f, -1.0f});
  input.advantages = at::tensor({1.0f, -2.0f, 5.0f});
  input.mask = at::tensor({1.0f, 1.0f, 0.0f});
  input.token_count = 2;
  const LossOutput out = spec->function(input, config);
  // -(1 * 1 * -1 + 2 * -2 * -0.5) / 2 = -(-1 + 2) / 2 = -0.5
  EXPECT_NEAR(out.loss.item<double>(), -0.5, 1e-6);
  EXPECT_EQ(out.sums.tokens, 2);
}

}  // namespace
}  // namespace tandem
