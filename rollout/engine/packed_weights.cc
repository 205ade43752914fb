#include "rollout/engine/packed_weights.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/linear.h"
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
  void Copy(AlignedFloats& to) { std::copy_n(Take(to.size()), to.size(), to.data()); }

 private:
  const float* at_;
};

int64_t ProjectionWidth(const ModelConfig& c) { return (c.heads + 2 * c.kv_heads) * c.head_size(); }

}  // namespace

void LinearBias(const float* x, int64_t rows, const AlignedFloats& packed, const AlignedFloats& bias, int64_t in,
                int64_t out, float* y) {
  if (bias.size() == 0) return kernels::Linear(x, rows, packed.data(), in, out, y);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(bias.data(), out, y + r * out);
  kernels::LinearAdd(x, rows, packed.data(), in, out, y);
}

void LinearAddBias(const float* x, int64_t rows, const AlignedFloats& packed, const AlignedFloats& bias, int64_t in,
                   int64_t out, float* y) {
  kernels::LinearAdd(x, rows, packed.data(), in, out, y);
  if (bias.size() == 0) return;
  for (int64_t r = 0; r < rows; ++r, y += out) {
    for (int64_t c = 0; c < out; ++c) y[c] += bias.data()[c];
  }
}

PackedWeights::PackedWeights(const ModelConfig& c) : config_(c), layers_(c.layers) {
  embedding_.Resize(c.vocabulary * c.hidden);
  for (LayerWeights& layer : layers_) {
    layer.attention_norm.Resize(c.hidden);
    layer.qkv.Resize(kernels::PackedSize(ProjectionWidth(c), c.hidden));
    layer.qkv_bias.Resize(c.qkv_bias ? ProjectionWidth(c) : 0);
    layer.q_norm.Resize(c.qk_norm ? c.head_size() : 0);
    layer.k_norm.Resize(c.qk_norm ? c.head_size() : 0);
    layer.o_bias.Resize(c.output_bias ? c.hidden : 0);
    layer.gate_up_bias.Resize(c.mlp_bias ? kernels::PackedGateUpSize(c.intermediate, 1) : 0);
    layer.down_bias.Resize(c.mlp_bias ? c.hidden : 0);
    layer.o.Resize(kernels::PackedSize(c.hidden, c.heads * c.head_size()));
    layer.mlp_norm.Resize(c.hidden);
    layer.gate_up.Resize(kernels::PackedGateUpSize(c.intermediate, c.hidden));
    layer.down.Resize(kernels::PackedSize(c.hidden, c.intermediate));
  }
  final_norm_.Resize(c.hidden);
  head_.Resize(kernels::PackedSize(c.vocabulary, c.hidden));
  if (c.vocabulary <= kSmallVocabulary) first_projections_.Resize(c.vocabulary * ProjectionWidth(c));
}

absl::Status PackedWeights::Load(std::span<const float> weights) {
  const ModelConfig& c = config_;
  if (static_cast<int64_t>(weights.size()) != ParameterCount(c)) {
    return absl::InvalidArgumentError(
        absl::StrCat("weights of ", weights.size(), " numbers for a model of ", ParameterCount(c)));
  }
  Reader reader(weights.data());
  reader.Copy(embedding_);
  for (LayerWeights& layer : layers_) {
    reader.Copy(layer.attention_norm);
    // q_proj, k_proj and v_proj lie one after the other: one matrix.
    kernels::PackLinear(reader.Take(ProjectionWidth(c) * c.hidden), ProjectionWidth(c), c.hidden, layer.qkv.data());
    reader.Copy(layer.qkv_bias);
    reader.Copy(layer.q_norm);
    reader.Copy(layer.k_norm);
    const int64_t q_width = c.heads * c.head_size();
    kernels::PackLinear(reader.Take(c.hidden * q_width), c.hidden, q_width, layer.o.data());
    reader.Copy(layer.o_bias);
    reader.Copy(layer.mlp_norm);
    const float* gate = reader.Take(c.intermediate * c.hidden);
    const float* up = reader.Take(c.intermediate * c.hidden);
    kernels::PackGateUp(gate, up, c.intermediate, c.hidden, layer.gate_up.data());
    if (c.mlp_bias) {
      const float* gate_bias = reader.Take(c.intermediate);
      const float* up_bias = reader.Take(c.intermediate);
      kernels::PackGateUpBias(gate_bias, up_bias, c.intermediate, layer.gate_up_bias.data());
    }
    kernels::PackLinear(reader.Take(c.hidden * c.intermediate), c.hidden, c.intermediate, layer.down.data());
    reader.Copy(layer.down_bias);
  }
  reader.Copy(final_norm_);
  const float* head = c.tied_head ? weights.data() : reader.Take(c.vocabulary * c.hidden);
  kernels::PackLinear(head, c.vocabulary, c.hidden, head_.data());
  if (has_first_projections()) {
    AlignedFloats normed(c.vocabulary * c.hidden);
    kernels::RmsNorm(embedding_.data(), c.vocabulary, c.hidden, layers_[0].attention_norm.data(),
                     static_cast<float>(c.norm_epsilon), normed.data());
    LinearBias(normed.data(), c.vocabulary, layers_[0].qkv, layers_[0].qkv_bias, c.hidden, ProjectionWidth(c),
               first_projections_.data());
  }
  return absl::OkStatus();
}

}  // namespace tandem
