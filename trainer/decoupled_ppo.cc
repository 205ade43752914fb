#include <ATen/ATen.h>

#include "base/status.h"
#include "trainer/loss.h"

namespace tandem {

LossOutput DecoupledPpoLoss(const LossInput& input, const proto::LossConfig& config) {
  TANDEM_CHECK(input.proximal_logprobs.defined());
  const at::Tensor weight = (input.proximal_logprobs - input.behaviour_logprobs).exp();  // [tokens] no gradient
  const at::Tensor ratio = (input.new_logprobs - input.proximal_logprobs).exp();         // [tokens]
  const at::Tensor bounded = ratio.clamp(1 - config.clip(), 1 + config.clip());
  const at::Tensor plain_gain = ratio * input.advantages, bounded_gain = bounded * input.advantages;
  const at::Tensor gain = weight.clamp_max(config.importance_cap()) * at::minimum(plain_gain, bounded_gain);
  at::Tensor loss = -(gain * input.mask).sum() / input.token_count;
  if (const at::Tensor penalty = KlPenalty(input, config); penalty.defined()) loss = loss + penalty;
  return {loss, SumUnmasked(input, weight, (bounded_gain < plain_gain).to(at::kFloat))};
}

}  // namespace tandem
