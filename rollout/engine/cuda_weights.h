// A version's weights as the CUDA decoder reads them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/bfloat16.h"
#include "policy/model_config.h"
#include "rollout/engine/cuda_memory.h"

namespace tandem {

// What the linear layers read is stored as T, float or BFloat16; norms and biases in float32. Null: the model has none.
template <class T>
struct CudaLayer {
  const float *attention_norm, *mlp_norm;  // [hidden]
  const float *q_norm, *k_norm;            // [head_size]
  const T* qkv;                            // [heads + 2 kv_heads times head_size, hidden]
  const T* o;                              // [hidden, heads * head_size]
  const T* gate_up;                        // [2 intermediate, hidden]
  const T* down;                           // [hidden, intermediate]
  const float *qkv_bias, *o_bias, *gate_up_bias, *down_bias;
};

// Lies in one piece of device memory, and stays where it is when other weights are loaded: a graph that was recorded
// with the old ones computes with the new ones.
template <class T>
class CudaWeights {
 public:
  explicit CudaWeights(const ModelConfig& config) : config_(config) {}

  // Flat weights in ParameterLayout's order; the first call takes the memory. Queued work on `stream` is done first;
  // returns when all is loaded. kInvalidArgument: another number of them than the model has.
  absl::Status Load(std::span<const float> weights, kernels::cuda::Stream stream);

  bool loaded() const { return loaded_; }
  const float* embedding() const { return embedding_; }  // [vocabulary, hidden]
  const CudaLayer<T>& layer(int64_t n) const { return layers_[static_cast<size_t>(n)]; }
  const float* final_norm() const { return final_norm_; }  // [hidden]
  const T* head() const { return head_; }                  // [vocabulary, hidden]

 private:
  // Numbers of the flat weights, and where they go.
  struct Part {
    int64_t first, size;
    float* floats;  // or
    T* numbers;
  };
  void LayOut(char* base);
  template <class Number>
  Number* Take(int64_t size, bool present = true);

  const ModelConfig config_;
  bool loaded_ = false;
  CudaArray<char> memory_;
  CudaArray<float> staging_;
  // While parts are laid out:
  char* base_ = nullptr;
  int64_t bytes_ = 0, first_ = 0;
  std::vector<Part> parts_;
  const float *embedding_ = nullptr, *final_norm_ = nullptr;
  const T* head_ = nullptr;
  std::vector<CudaLayer<T>> layers_;
};

}  // namespace tandem
