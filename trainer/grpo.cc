#include <ATen/ATen.h>

#include "trainer/loss.h"

namespace tandem {

LossOutput GrpoLoss(const LossInput& input, const proto::LossConfig& config) {
  const at::Tensor ratio = (input.new_logprobs - input.behaviour_logprobs).exp();  // [tokens]
  const at::Tensor bounded = ratio.clamp(1 - config.clip(), 1 + config.clip());
  const at::Tensor plain_gain = ratio * input.advantages, bounded_gain = bounded * input.advantages;
  at::Tensor loss = -(at::minimum(plain_gain, bounded_gain) * input.mask).sum() / input.token_count;
  if (const at::Tensor penalty = KlPenalty(input, config); penalty.defined()) loss = loss + penalty;
  const at::Tensor weight =
      input.proximal_logprobs.defined() ? (input.proximal_logprobs - input.behaviour_logprobs).exp() : ratio.detach();
  return {loss, SumUnmasked(input, weight, (bounded_gain < plain_gain).to(at::kFloat))};
}

}  // namespace tandem
