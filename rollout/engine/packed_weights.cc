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

// Walks over the tensors of flat weights, in ParameterLayout's order, and packs those numbers of them that belong to
// one of equal parts: panel by panel, and small tensors as a whole.
class Packer {
 public:
  // `total`: numbers that are walked over.
  Packer(const float* weights, int64_t total, int64_t part, int64_t parts)
      : at_(weights), from_(total * part / parts), to_(part + 1 == parts ? INT64_MAX : total * (part + 1) / parts) {}

  // `to` may be null: the model has no such tensor.
  void Copy(int64_t size, float* to) {
    if (to == nullptr) return;
    Each(1, size, [&](int64_t, int64_t) { std::copy_n(at_, size, to); });
    at_ += size;
  }
  void Round(int64_t size, uint16_t* to) {
    constexpr int64_t kStep = 4096;
    Each((size + kStep - 1) / kStep, kStep, [&](int64_t first, int64_t last) {
      kernels::RoundToBf16(at_ + first * kStep, std::min(last * kStep, size) - first * kStep, to + first * kStep);
    });
    at_ += size;
  }
  void Pack(const kernels::PackedLinear& layer) {
    constexpr int64_t kOutputs = kernels::kPanelColumns;
    const int64_t panel = kernels::PackedBytes(layer.type, kOutputs, layer.in);
    Each((layer.out + kOutputs - 1) / kOutputs, kOutputs * layer.in, [&](int64_t first, int64_t last) {
      kernels::Pack(layer.type, at_ + first * kOutputs * layer.in,
                    std::min(last * kOutputs, layer.out) - first * kOutputs, layer.in, Bytes(layer) + first * panel);
    });
    at_ += layer.out * layer.in;
  }
  void PackGateUp(const kernels::PackedLinear& layer) {
    constexpr int64_t kOutputs = kernels::kPanelColumns / 2;
    const int64_t panel = kernels::PackedGateUpBytes(layer.type, kOutputs, layer.in), size = layer.out * layer.in;
    Each((layer.out + kOutputs - 1) / kOutputs, 2 * kOutputs * layer.in, [&](int64_t first, int64_t last) {
      const float* gate = at_ + first * kOutputs * layer.in;
      kernels::PackGateUp(layer.type, gate, gate + size, std::min(last * kOutputs, layer.out) - first * kOutputs,
                          layer.in, Bytes(layer) + first * panel);
    });
    at_ += 2 * size;
  }
  void PackGateUpBias(int64_t size, float* to) {
    if (to == nullptr) return;
    Each(1, 2 * size, [&](int64_t, int64_t) { kernels::PackGateUpBias(at_, at_ + size, size, to); });
    at_ += 2 * size;
  }
  // Goes back to the embedding, for a head that is tied to it.
  void Return(const float* weights) { at_ = weights; }

 private:
  static std::byte* Bytes(const kernels::PackedLinear& layer) {
    return static_cast<std::byte*>(const_cast<void*>(layer.data));
  }
  // pack(first, last): those of `count` pieces of `size` numbers that begin within the part.
  template <class Pack>
  void Each(int64_t count, int64_t size, const Pack& pack) {
    const auto index = [&](int64_t number) {
      return number <= walked_ ? int64_t{0} : std::min(count, (number - walked_ - 1) / size + 1);
    };
    const int64_t first = index(from_), last = index(to_);
    if (first < last) pack(first, last);
    walked_ += count * size;
  }

  const float* at_;
  const int64_t from_, to_;
  int64_t walked_ = 0;
};

}  // namespace

PackedWeights::PackedWeights(const ModelConfig& c, kernels::WeightType type)
    : config_(c),
      type_(type),
      projection_width_((c.heads + 2 * c.kv_heads) * c.head_size()),
      layers_(static_cast<size_t>(c.layers)) {
  LayOut();              // measures
  memory_.Take(taken_);  // packing writes all of it
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

absl::Status PackedWeights::Load(std::span<const float> weights, int64_t part, int64_t parts) {
  const ModelConfig& c = config_;
  if (static_cast<int64_t>(weights.size()) != ParameterCount(c)) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights of ", weights.size(), " numbers for a model of ", ParameterCount(c)));
  }
  const int64_t tied = c.tied_head ? c.vocabulary * c.hidden : 0;  // packed beside the embedding
  Packer packer(weights.data(), static_cast<int64_t>(weights.size()) + tied, part, parts);
  if (type_ == kernels::WeightType::kFloat32) {
    packer.Copy(c.vocabulary * c.hidden, static_cast<float*>(embedding_));
  } else {
    packer.Round(c.vocabulary * c.hidden, static_cast<uint16_t*>(embedding_));
  }
  for (LayerWeights& layer : layers_) {
    packer.Copy(c.hidden, layer.attention_norm);
    packer.Pack(layer.qkv);  // q_proj, k_proj and v_proj lie one after the other
    packer.Copy(projection_width_, layer.qkv_bias);
    packer.Copy(c.head_size(), layer.q_norm);
    packer.Copy(c.head_size(), layer.k_norm);
    packer.Pack(layer.o);
    packer.Copy(c.hidden, layer.o_bias);
    packer.Copy(c.hidden, layer.mlp_norm);
    packer.PackGateUp(layer.gate_up);
    packer.PackGateUpBias(c.intermediate, layer.gate_up_bias);
    packer.Pack(layer.down);
    packer.Copy(c.hidden, layer.down_bias);
  }
  packer.Copy(c.hidden, final_norm_);
  if (c.tied_head) packer.Return(weights.data());
  packer.Pack(head_);
  if (part + 1 == parts && has_first_projections()) ProjectVocabulary();
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
