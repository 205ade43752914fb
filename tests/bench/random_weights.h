// Weights for benchmarks: of a scale at which activations keep theirs.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "policy/model_config.h"

namespace tandem {

// Flat, in ParameterLayout's order.
inline std::vector<float> RandomWeights(const ModelConfig& config, uint64_t seed) {
  RandomStream random(seed);
  std::vector<float> weights(static_cast<size_t>(ParameterCount(config)));
  for (const Parameter& parameter : ParameterLayout(config)) {
    const bool norm = parameter.shape.size() == 1;
    const double scale = std::sqrt(3.0 / static_cast<double>(parameter.shape.back()));
    for (int64_t i = 0; i < parameter.size(); ++i) {
      weights[static_cast<size_t>(parameter.offset + i)] =
          norm ? 1 : static_cast<float>(scale * (2 * random.Uniform() - 1));
    }
  }
  return weights;
}

}  // namespace tandem
