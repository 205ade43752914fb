// A version's weights as the CPU kernels read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/packed_linear.h"
#include "policy/model_config.h"
#include "rollout/engine/aligned_bytes.h"

namespace tandem {

// Biases, and the norms of queries and keys, are null where the model has none.
struct LayerWeights {
  float* attention_norm = nullptr;                      // [hidden]
  kernels::PackedLinear qkv, o, gate_up, down;          // q, k and v are one layer
  float *qkv_bias = nullptr, *o_bias = nullptr;         // [heads + 2 kv_heads times head_size], [hidden]
  float *q_norm = nullptr, *k_norm = nullptr;           // [head_size]
  float* mlp_norm = nullptr;                            // [hidden]
  float *gate_up_bias = nullptr, *down_bias = nullptr;  // by PackGateUpBias, [hidden]
};

class PackedWeights {
 public:
  // `type` is that of the linear layers; the embedding is held in bfloat16 unless it is kFloat32, all else in float32.
  PackedWeights(const ModelConfig& config, kernels::WeightType type);
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  // Part `part` of `parts` of the packing of flat weights in ParameterLayout's order; they are whole after the last.
  // kInvalidArgument: another number of them than the model has.
  absl::Status Load(std::span<const float> weights, int64_t part, int64_t parts);

  // A token's embedding, [hidden].
  void Embed(int64_t token, float* to) const;
  const LayerWeights& layer(int64_t n) const { return layers_[static_cast<size_t>(n)]; }
  const float* final_norm() const { return final_norm_; }
  const kernels::PackedLinear& head() const { return head_; }

  // The first layer's queries, keys and values depend on nothing but the token: of a small vocabulary they are computed
  // once, when the weights are loaded. Bitwise what the layer would compute, since Linear is batch-invariant.
  bool has_first_projections() const { return first_projections_ != nullptr; }
  const float* first_projection(int64_t token) const { return first_projections_ + token * projection_width_; }

 private:
  // A piece of the memory that starts on a cache line; null while the memory is only measured.
  void* Take(int64_t bytes);
  float* TakeFloats(int64_t size) { return static_cast<float*>(Take(size * static_cast<int64_t>(sizeof(float)))); }
  kernels::PackedLinear TakeLinear(int64_t out, int64_t in);
  void LayOut();
  void ProjectVocabulary();

  const ModelConfig config_;
  const kernels::WeightType type_;
  const int64_t projection_width_;
  AlignedBytes memory_;  // of all that the pointers point to: one piece, for huge pages
  int64_t taken_ = 0;
  void* embedding_ = nullptr;  // [vocabulary, hidden]
  std::vector<LayerWeights> layers_;
  float* final_norm_ = nullptr;
  kernels::PackedLinear head_;
  float* first_projections_ = nullptr;  // [vocabulary, projection_width_], or null
};

}  // namespace tandem
