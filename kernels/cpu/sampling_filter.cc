#include "kernels/sampling_filter.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tandem::kernels {
namespace {

constexpr float kLeftOut = -std::numeric_limits<float>::infinity();

void TopK(int32_t k, int64_t vocabulary, float* logits, std::vector<int32_t>& kept) {
  if (k <= 0 || k >= vocabulary) return;
  std::nth_element(kept.begin(), kept.begin() + (k - 1), kept.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  const float last = logits[kept[static_cast<size_t>(k) - 1]];
  std::erase_if(kept, [&](int32_t token) {
    if (logits[token] >= last) return false;
    logits[token] = kLeftOut;
    return true;
  });
}

// `weight`: exp((logit - largest) / temperature). What is left out are the least likely tokens, as many as together
// have no more than 1 - p of the probability.
template <typename Weight>
void TopP(float p, const Weight& weight, float* logits, std::vector<int32_t>& kept) {
  if (p >= 1 || kept.size() < 2) return;
  double sum = 0;
  for (const int32_t token : kept) sum += weight(token);
  const double spare = (1 - static_cast<double>(p)) * sum;
  // Tokens of less weight than this are left out even if all were: only the others have to be sorted.
  const double surely = spare / static_cast<double>(kept.size());
  double left_out = 0;
  std::erase_if(kept, [&](int32_t token) {
    if (weight(token) >= surely) return false;
    left_out += weight(token);
    logits[token] = kLeftOut;
    return true;
  });
  std::sort(kept.begin(), kept.end(),
            [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  while (kept.size() > 1 && left_out + weight(kept.back()) <= spare) {
    left_out += weight(kept.back());
    logits[kept.back()] = kLeftOut;
    kept.pop_back();
  }
}

}  // namespace

void FilterLogits(const SamplingFilter& filter, float temperature, int64_t vocabulary, float* logits,
                  std::vector<int32_t>* scratch) {
  const float largest = *std::max_element(logits, logits + vocabulary);
  if (!std::isfinite(largest) || temperature <= 0) return;
  std::vector<int32_t>& kept = *scratch;
  kept.clear();
  for (int32_t token = 0; token < vocabulary; ++token) {
    if (logits[token] > kLeftOut) kept.push_back(token);
  }
  TopK(filter.top_k, static_cast<int64_t>(kept.size()), logits, kept);
  const auto weight = [=](int32_t token) {
    return std::exp((static_cast<double>(logits[token]) - largest) / temperature);
  };
  TopP(filter.top_p, weight, logits, kept);
  if (filter.min_p <= 0) return;
  for (const int32_t token : kept) {
    if (weight(token) < filter.min_p) logits[token] = kLeftOut;
  }
}

}  // namespace tandem::kernels
