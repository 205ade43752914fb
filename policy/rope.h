// Rotary positions: how fast each pair of dimensions turns, and the angles of positions.
#pragma once

#include <cstdint>
#include <vector>

#include "policy/model_config.h"

namespace tandem {

// [head_size / 2] radians per position: theta^(-2 i / head_size), stretched by rope_scaling where there is one. In
// float32, as transformers keeps them.
std::vector<float> RopeFrequencies(const ModelConfig& config);

// Cosine and sine of the positions that have been asked for. Not thread-safe.
class RopeTable {
 public:
  explicit RopeTable(const ModelConfig& config) : frequencies_(RopeFrequencies(config)) {}

  // Makes positions 0 .. positions-1 ready; rows that were given out before may move.
  void Cover(int64_t positions);

  int64_t positions() const { return positions_; }
  int64_t half() const { return static_cast<int64_t>(frequencies_.size()); }                  // head_size / 2
  const float* cosine(int64_t position) const { return cosine_.data() + position * half(); }  // [half]
  const float* sine(int64_t position) const { return sine_.data() + position * half(); }

 private:
  std::vector<float> frequencies_;
  int64_t positions_ = 0;
  std::vector<float> cosine_, sine_;  // [positions, half]
};

}  // namespace tandem
