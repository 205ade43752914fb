#include "policy/rope.h"

#include <algorithm>
#include <cmath>

namespace tandem {
namespace {

// Llama 3: what turns less than low_frequency_factor times over the original context is stretched by `factor`, what
// turns more than high_frequency_factor times is not, and in between the two are blended.
double Scaled(double frequency, const RopeScaling& scaling) {
  const double turns = static_cast<double>(scaling.original_context) * frequency / (2 * M_PI);
  const double kept =
      (turns - scaling.low_frequency_factor) / (scaling.high_frequency_factor - scaling.low_frequency_factor);
  const double share = std::clamp(kept, 0.0, 1.0);
  return (1 - share) * frequency / scaling.factor + share * frequency;
}

}  // namespace

std::vector<float> RopeFrequencies(const ModelConfig& config) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < config.head_size(); i += 2) {
    const double exponent = static_cast<double>(i) / static_cast<double>(config.head_size());
    const double frequency = std::pow(config.rope_theta, -exponent);
    frequencies.push_back(
        static_cast<float>(config.rope_scaling ? Scaled(frequency, *config.rope_scaling) : frequency));
  }
  return frequencies;
}

void RopeTable::Cover(int64_t positions) {
  if (positions <= positions_) return;
  const int64_t until = std::max(positions, 2 * positions_);
  cosine_.resize(static_cast<size_t>(until * half()));
  sine_.resize(cosine_.size());
  for (int64_t position = positions_; position < until; ++position) {
    for (int64_t i = 0; i < half(); ++i) {
      // The product is rounded to float32: transformers' angles are, and at long distances that is more than the
      // parity of log-probabilities can bear.
      const float angle = static_cast<float>(position) * frequencies_[static_cast<size_t>(i)];
      cosine_[static_cast<size_t>(position * half() + i)] = static_cast<float>(std::cos(static_cast<double>(angle)));
      sine_[static_cast<size_t>(position * half() + i)] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
  positions_ = until;
}

}  // namespace tandem
