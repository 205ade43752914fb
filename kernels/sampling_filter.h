// Leaves unlikely tokens out of a draw.
#pragma once

#include <cstdint>
#include <vector>

namespace tandem::kernels {

// Applied to softmax(logits / temperature), in this order and with the meaning that Hugging Face's generate() gives
// them.
struct SamplingFilter {
  int32_t top_k = 0;  // the k most likely tokens, and those as likely as the last of them; 0: all
  float top_p = 1;    // of these the most likely ones, until their share of the probability reaches top_p
  float min_p = 0;    // of these the ones at least min_p times as likely as the likeliest

  bool any() const { return top_k > 0 || top_p < 1 || min_p > 0; }
  bool operator==(const SamplingFilter&) const = default;
};

// Sets the logits [vocabulary] of the tokens that are left out to -infinity; the likeliest token always stays. A row
// without a finite largest logit stays as it is. `scratch` is the caller's only to save allocations.
void FilterLogits(const SamplingFilter& filter, float temperature, int64_t vocabulary, float* logits,
                  std::vector<int32_t>* scratch);

}  // namespace tandem::kernels
