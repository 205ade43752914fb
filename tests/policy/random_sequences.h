// Random packed sequences for tests and benchmarks.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

#include "base/random.h"
#include "policy/model.h"

namespace tandem {

// `count` sequences of `shortest` to `longest` tokens; the tokens from `prompt` on are targets (of shorter sequences:
// the last one, and none of a single token).
inline PackedSequences RandomSequences(uint64_t seed, int64_t count, int64_t shortest, int64_t longest, int64_t prompt,
                                       int64_t vocabulary) {
  RandomStream random(seed);
  PackedSequences s;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t length = shortest + static_cast<int64_t>(random.Below(static_cast<uint64_t>(longest - shortest + 1)));
    s.lengths.push_back(static_cast<int32_t>(length));
    const int64_t first = length > prompt ? prompt : length - 1;
    for (int64_t t = 0; t < length; ++t) {
      if (t >= first && t > 0) s.targets.push_back(static_cast<int32_t>(s.ids.size()));
      s.ids.push_back(static_cast<int32_t>(random.Below(static_cast<uint64_t>(vocabulary))));
    }
  }
  return s;
}

// [parameters] random weights of standard deviation `std`, norms around 1.
inline at::Tensor RandomWeights(const ModelConfig& config, uint64_t seed, double std) {
  RandomStream random(seed);
  at::Tensor flat = at::empty({ParameterCount(config)}, at::kFloat);
  float* values = flat.mutable_data_ptr<float>();
  for (const Parameter& p : ParameterLayout(config)) {
    for (int64_t i = 0; i < p.size(); ++i) {
      const double uniform = (2 * random.Uniform() - 1) * 1.7320508;  // variance 1
      values[p.offset + i] = static_cast<float>(uniform * std + (p.shape.size() == 1 ? 1 : 0));
    }
  }
  return flat;
}

}  // namespace tandem
