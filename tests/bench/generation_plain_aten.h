// Decoding as one writes it with ATen: the yardstick of tests/bench/generation.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "policy/model_config.h"

namespace tandem {

// A batch of sequences of equal length, with a key-value cache; float32, no autograd. Queries, keys and values are one
// product, and so are gate and up; attention is ATen's fused one.
class PlainAtenDecoding {
 public:
  // `weights`: flat, in ParameterLayout's order; copied.
  PlainAtenDecoding(const ModelConfig& config, std::span<const float> weights, int64_t batch);
  ~PlainAtenDecoding();

  // Generates `length` - 1 tokens after one first token for each sequence, sampled at temperature 1. Returns the number
  // of tokens generated.
  int64_t Generate(std::span<const int32_t> first_tokens, int64_t length);

  // Log-probability of each token but the first, given those before it. For checking the engine.
  std::vector<float> Score(std::span<const int32_t> tokens);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tandem
