#include "rollout/engine/packed_weights.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/rms_norm.h"
#include "kernels/swiglu.h"

namespace tandem {
namespace {

constexpr int64_t kSmallVocabulary = 128;

// Hands out the tensors of flat weights one after the other, in ParameterLayout's order.
class Reader {
 public:
  explicit Reader(const float* weights) : at_(weights) {}
  const float* Take(int64_t size) {
    const float* tensor = at_;
    at_ += size;
    return tensor;
  }
  // `to` may be null: the model has no such tensor.
  void Copy(int64_t size, float* to) {
    if (to != nullptr) std::copy_n(Take(size), size, to);
  }
  void Pack(kernels::PackedLinear& layer) {
    kernels::Pack(layer.type, Take(layer.out * layer.in), layer.out, layer.in, const_cast<void*>(layer.data));
  }

 private:
  const float* at_;
};

}  // namespace

PackedWeights::PackedWeights(const ModelConfig& c, kernels::WeightType type)
    : config_(c),
      type_(type),
      projection_width_((c.heads + 2 * c.kv_heads) * c.head_size()),
      layers_(static_cast<size_t>(c.layers)) {
  LayOut();  // measures
  memory_.Resize(taken_);
  taken_ = 0;
  LayOut();
}

void* PackedWeights::Take(int64_t bytes) {
  const int64_t start = taken_;
  taken_ += (bytes + 63) / 64 * 64;
  return memory_.size() == 0 ? nullptr : memory_.data() + start;
}

kernels::PackedLinear PackedWeights::TakeLinear(int64_t out, int64_t in) {
  return {type_, out, in, Take(kernels::PackedBytes(type_, out, in))};
}

void PackedWeights::LayOut() {
  const ModelConfig& c = config_;
  const int64_t number = type_ == kernels::WeightType::kFloat32 ? sizeof(float) : sizeof(uint16_t);
  embedding_ = Take(c.vocabulary * c.hidden * number);
  for (LayerWeights& layer : layers_) {
    layer.attention_norm = TakeFloats(c.hidden);
    layer.qkv = TakeLinear(projection_width_, c.hidden);
    if (c.qkv_bias) layer.qkv_bias = TakeFloats(projection_width_);
    if (c.qk_norm) layer.q_norm = TakeFloats(c.head_size());
    if (c.qk_norm) layer.k_norm = TakeFloats(c.head_size());
    layer.o = TakeLinear(c.hidden, c.heads * c.head_size());
    if (c.output_bias) layer.o_bias = TakeFloats(c.hidden);
    layer.mlp_norm = TakeFloats(c.hidden);
    layer.gate_up = {type_, c.intermediate, c.hidden,
                     Take(kernels::PackedGateUpBytes(type_, c.intermediate, c.hidden))};
    if (c.mlp_bias) layer.gate_up_bias = TakeFloats(kernels::PackedGateUpSize(c.intermediate, 1));
    layer.down = TakeLinear(c.hidden, c.intermediate);
    if (c.mlp_bias) layer.down_bias = TakeFloats(c.hidden);
  }
  final_norm_ = TakeFloats(c.hidden);
  head_ = TakeLinear(c.vocabulary, c.hidden);
  if (c.vocabulary <= kSmallVocabulary) first_projections_ = TakeFloats(c.vocabulary * projection_width_);
}

absl::Status PackedWeights::Load(std::span<const float> weights) {
  const ModelConfig& c = config_;
  if (static_cast<int64_t>(weights.size()) != ParameterCount(c)) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights of ", weights.size(), " numbers for a model of ", ParameterCount(c)));
  }
  Reader reader(weights.data());
  const float* embedding = reader.Take(c.vocabulary * c.hidden);
  if (type_ == kernels::WeightType::kFloat32) {
    std::copy_n(embedding, c.vocabulary * c.hidden, static_cast<float*>(embedding_));
  } else {
    kernels::RoundToBf16(embedding, c.vocabulary * c.hidden, static_cast<uint16_t*>(embedding_));
  }
  for (LayerWeights& layer : layers_) {
    reader.Copy(c.hidden, layer.attention_norm);
    reader.Pack(layer.qkv);  // q_proj, k_proj and v_proj lie one after the other
    reader.Copy(projection_width_, layer.qkv_bias);
    reader.Copy(c.head_size(), layer.q_norm);
    reader.Copy(c.head_size(), layer.k_norm);
    reader.Pack(layer.o);
    reader.Copy(c.hidden, layer.o_bias);
    reader.Copy(c.hidden, layer.mlp_norm);
    const float* gate = reader.Take(c.intermediate * c.hidden);
    const float* up = reader.Take(c.intermediate * c.hidden);
    kernels::PackGateUp(type_, gate, up, c.intermediate, c.hidden, const_cast<void*>(layer.gate_up.data));
    if (c.mlp_bias) {
      const float* gate_bias = reader.Take(c.intermediate);
      const float* up_bias = reader.Take(c.intermediate);
      kernels::PackGateUpBias(gate_bias, up_bias, c.intermediate, layer.gate_up_bias);
    }
    reader.Pack(layer.down);
    reader.Copy(c.hidden, layer.down_bias);
  }
  reader.Copy(c.hidden, final_norm_);
  if (c.tied_head) reader = Reader(weights.data());
  reader.Pack(head_);
  if (has_first_projections()) ProjectVocabulary();
  return absl::OkStatus();
}

void PackedWeights::Embed(int64_t token, float* to) const {
  if (type_ == kernels::WeightType::kFloat32) {
    std::copy_n(static_cast<const float*>(embedding_) + token * config_.hidden, config_.hidden, to);
    return;
  }
  const uint16_t* from = static_cast<const uint16_t*>(embedding_) + token * config_.hidden;
  for (int64_t i = 0; i < config_.hidden; ++i) to[i] = std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16);
}

void PackedWeights::ProjectVocabulary() {
  const ModelConfig& c = config_;
  AlignedFloats normed(c.vocabulary * c.hidden);
  for (int64_t token = 0; token < c.vocabulary; ++token) Embed(token, normed.data() + token * c.hidden);
  kernels::RmsNorm(normed.data(), c.vocabulary, c.hidden, layers_[0].attention_norm, static_cast<float>(c.norm_epsilon),
                   normed.data());
  AlignedBytes scratch(kernels::LinearScratch(type_, c.vocabulary, c.hidden));
  kernels::Linear(layers_[0].qkv, layers_[0].qkv_bias, normed.data(), c.vocabulary, scratch.data(), first_projections_);
}

}  // namespace tandem
