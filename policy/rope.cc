#include "policy/rope.h"

#include <algorithm>
#include <cmath>

namespace tandem {
namespace {

// Llama 3: what turns less than low_frequency_factor times over the original context is stretched by `factor`, what
// turns more than high_frequency_factor times is not, and in between the two are blended.
float Scaled(float frequency, const RopeScaling& scaling) {
  // A number divided by a tensor is the tensor's reciprocal times the number there.
  const float wavelength = (1 / frequency) * static_cast<float>(2 * M_PI);
  const float turns = (1 / wavelength) * static_cast<float>(scaling.original_context);
  const auto low = static_cast<float>(scaling.low_frequency_factor);
  const auto high = static_cast<float>(scaling.high_frequency_factor), factor = static_cast<float>(scaling.factor);
  const float share = std::clamp((turns - low) / (high - low), 0.0f, 1.0f);
  return (1 - share) * frequency / factor + share * frequency;
}

}  // namespace

// Each step is rounded as transformers rounds it: at position 500 an error in the last place of a frequency is one of
// 2e-5 in the angle, and so in log-probabilities.
std::vector<float> RopeFrequencies(const ModelConfig& config) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < config.head_size(); i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(config.head_size());
    const auto theta = static_cast<double>(static_cast<float>(config.rope_theta));
    const float frequency = 1.0f / static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
    frequencies.push_back(config.rope_scaling ? Scaled(frequency, *config.rope_scaling) : frequency);
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
