#include <ATen/ATen.h>

#include "trainer/loss.h"

namespace tandem {

LossOutput NegativeLogLikelihood(const LossInput& input, const proto::LossConfig&) {
  LossSums sums;
  sums.tokens = input.mask.sum().item<double>();
  return {-(input.new_logprobs * input.mask).sum() / input.token_count, sums};
}

}  // namespace tandem
