#include "rollout/engine/cuda_weights.h"

#include <algorithm>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/cuda/rows.h"

namespace tandem {
namespace {

constexpr int64_t kAlignment = 256;                   // bytes: tensor cores want 16
constexpr int64_t kStagingFloats = int64_t{8} << 20;  // of weights on their way to bf16

}  // namespace

// The place of the next `size` flat weights.
template <class T>
template <class Number>
Number* CudaWeights<T>::Take(int64_t size, bool present) {
  if (!present) return nullptr;
  auto* const at = reinterpret_cast<Number*>(reinterpret_cast<uintptr_t>(base_) + static_cast<uintptr_t>(bytes_));
  bytes_ += (size * static_cast<int64_t>(sizeof(Number)) + kAlignment - 1) / kAlignment * kAlignment;
  Part part = {first_, size, nullptr, nullptr};
  if constexpr (std::is_same_v<Number, float>) {
    part.floats = at;
  } else {
    part.numbers = at;
  }
  parts_.push_back(part);
  first_ += size;
  return at;
}

template <class T>
void CudaWeights<T>::LayOut(char* base) {
  base_ = base;
  bytes_ = first_ = 0;
  parts_.clear();
  layers_.clear();
  const ModelConfig& c = config_;
  const int64_t q = c.heads * c.head_size(), qkv = q + 2 * c.kv_heads * c.head_size();
  embedding_ = Take<float>(c.vocabulary * c.hidden);
  for (int64_t n = 0; n < c.layers; ++n) {
    CudaLayer<T> layer;
    layer.attention_norm = Take<float>(c.hidden);
    layer.qkv = Take<T>(qkv * c.hidden);
    layer.qkv_bias = Take<float>(qkv, c.qkv_bias);
    layer.q_norm = Take<float>(c.head_size(), c.qk_norm);
    layer.k_norm = Take<float>(c.head_size(), c.qk_norm);
    layer.o = Take<T>(c.hidden * q);
    layer.o_bias = Take<float>(c.hidden, c.output_bias);
    layer.mlp_norm = Take<float>(c.hidden);
    layer.gate_up = Take<T>(2 * c.intermediate * c.hidden);
    layer.gate_up_bias = Take<float>(2 * c.intermediate, c.mlp_bias);
    layer.down = Take<T>(c.hidden * c.intermediate);
    layer.down_bias = Take<float>(c.hidden, c.mlp_bias);
    layers_.push_back(layer);
  }
  final_norm_ = Take<float>(c.hidden);
  if (!c.tied_head) {
    head_ = Take<T>(c.vocabulary * c.hidden);
  } else if constexpr (std::is_same_v<T, float>) {
    head_ = embedding_;
  } else {
    first_ = 0;  // the embedding once more, rounded
    head_ = Take<T>(c.vocabulary * c.hidden);
  }
}

template <class T>
absl::Status CudaWeights<T>::Load(std::span<const float> weights, kernels::cuda::Stream stream) {
  if (static_cast<int64_t>(weights.size()) != ParameterCount(config_)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the weights have ", weights.size(), " numbers; the model has ", ParameterCount(config_)));
  }
  if (memory_.data() == nullptr) {
    LayOut(nullptr);
    TANDEM_RETURN_IF_ERROR(memory_.Allocate(bytes_));
    LayOut(memory_.data());
  }
  if (!std::is_same_v<T, float> && staging_.data() == nullptr) {
    TANDEM_RETURN_IF_ERROR(staging_.Allocate(std::min(kStagingFloats, ParameterCount(config_))));
  }
  for (const Part& part : parts_) {
    for (int64_t done = 0; done < part.size; done += kStagingFloats) {
      const int64_t count = std::min(kStagingFloats, part.size - done);
      float* const to = part.floats != nullptr ? part.floats + done : staging_.data();
      const auto bytes = static_cast<size_t>(count) * sizeof(float);
      TANDEM_RETURN_IF_ERROR(kernels::cuda::QueueCopy(to, weights.data() + part.first + done, bytes, stream));
      if constexpr (!std::is_same_v<T, float>) {
        if (part.numbers != nullptr) {
          TANDEM_RETURN_IF_ERROR(kernels::cuda::Convert(to, count, part.numbers + done, stream));
        }
      }
    }
  }
  TANDEM_RETURN_IF_ERROR(kernels::cuda::Synchronize(stream));
  loaded_ = true;
  return absl::OkStatus();
}

template class CudaWeights<float>;
template class CudaWeights<kernels::BFloat16>;

}  // namespace tandem
