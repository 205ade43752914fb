// A version's weights as the CPU kernels read them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "policy/model_config.h"
#include "rollout/engine/aligned_floats.h"

namespace tandem {

// Biases, and the norms of queries and keys, are empty where the model has none.
struct LayerWeights {
  AlignedFloats attention_norm;   // [hidden]
  AlignedFloats qkv;              // packed [heads + 2 kv_heads times head_size, hidden]
  AlignedFloats qkv_bias;         // [heads + 2 kv_heads times head_size]
  AlignedFloats q_norm, k_norm;   // [head_size]
  AlignedFloats o, o_bias;        // packed [hidden, heads * head_size]; [hidden]
  AlignedFloats mlp_norm;         // [hidden]
  AlignedFloats gate_up;          // packed by PackGateUp
  AlignedFloats gate_up_bias;     // by PackGateUpBias
  AlignedFloats down, down_bias;  // packed [hidden, intermediate]; [hidden]
};

// y[rows, out] = x[rows, in] W^T + bias (may be empty), and y += the same.
void LinearBias(const float* x, int64_t rows, const AlignedFloats& packed, const AlignedFloats& bias, int64_t in,
                int64_t out, float* y);
void LinearAddBias(const float* x, int64_t rows, const AlignedFloats& packed, const AlignedFloats& bias, int64_t in,
                   int64_t out, float* y);

class PackedWeights {
 public:
  explicit PackedWeights(const ModelConfig& config);

  // From flat weights in ParameterLayout's order. kInvalidArgument: another number of them than the model has.
  absl::Status Load(std::span<const float> weights);

  const float* embedding(int64_t token) const { return embedding_.data() + token * config_.hidden; }
  const LayerWeights& layer(int64_t n) const { return layers_[n]; }
  const float* final_norm() const { return final_norm_.data(); }
  const float* head() const { return head_.data(); }  // packed [vocabulary, hidden]

  // The first layer's queries, keys and values depend on nothing but the token: of a small vocabulary they are computed
  // once, when the weights are loaded. Bitwise what the layer would compute, since Linear is batch-invariant.
  bool has_first_projections() const { return first_projections_.size() > 0; }
  const float* first_projection(int64_t token) const {
    return first_projections_.data() + token * (first_projections_.size() / config_.vocabulary);
  }

 private:
  const ModelConfig config_;
  AlignedFloats embedding_;  // [vocabulary, hidden]
  std::vector<LayerWeights> layers_;
  AlignedFloats final_norm_;
  AlignedFloats head_;
  AlignedFloats first_projections_;  // [vocabulary, heads + 2 kv_heads times head_size], or empty
};

}  // namespace tandem
