// Models small enough for a test, of every family.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/random.h"
#include "policy/model_config.h"

namespace tandem {

inline ModelConfig TinyShape() {
  return {.vocabulary = 11,
          .hidden = 8,
          .layers = 2,
          .heads = 2,
          .kv_heads = 1,
          .intermediate = 12,
          .context = 32,
          .rope_theta = 500000,
          .tied_head = false};
}

inline std::vector<float> RandomWeights(const ModelConfig& shape, uint64_t seed) {
  RandomStream random(seed);
  std::vector<float> weights(static_cast<size_t>(ParameterCount(shape)));
  for (float& weight : weights) weight = static_cast<float>(random.Uniform() - 0.5);
  return weights;
}

}  // namespace tandem
