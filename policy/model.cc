#include "policy/model.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/digest.h"
#include "base/random.h"
#include "base/status.h"
#include "policy/device.h"
#include "policy/operations.h"
#include "policy/packing.h"
#include "policy/torch_status.h"

namespace tandem {
namespace {

namespace op = operations;

// Tokens that go through the layers together on a CPU: so many that the widest activation takes 1.5 MB and stays in the
// second-level cache between two operations.
int64_t CpuChunkTokens(const ModelConfig& config) {
  return std::max<int64_t>(64, (int64_t{384} << 10) / (2 * config.intermediate));
}

// Leaves of autograd: views into the flat weights. Projections that read the same input are one matrix: they follow
// each other in the layout.
struct LayerLeaves {
  at::Tensor attention_norm, qkv, attention_out, mlp_norm, gate_up, down;
  at::Tensor qkv_bias, q_norm, k_norm, attention_out_bias, gate_up_bias, down_bias;  // undefined: the model has none
};

// A layer's weights, prepared for one pass.
struct LayerWeights {
  op::Weight qkv, attention_out, gate_up, down;
};

// A chunk on its way through the layers.
struct Travelling {
  at::Tensor x;  // [tokens, hidden] the residual stream
  at::Tensor y;  // [tokens, hidden] its norm, which the next layer reads
};

// The sum of eight 16-bit uniform numbers, centred and scaled to variance 1: the same bits on any machine.
float BellDraw(uint64_t key, uint64_t index) {
  int32_t sum = 0;
  for (const uint32_t bits : Philox(key, index)) sum += static_cast<int32_t>((bits & 0xffff) + (bits >> 16));
  const double kScale = std::sqrt(12.0 / 8.0) / 65536.0;
  return static_cast<float>((sum - 4 * 65535) * kScale);
}

bool EndsWith(const std::string& name, const std::string& end) {
  return name.size() >= end.size() && name.compare(name.size() - end.size(), end.size(), end) == 0;
}

class Transformer final : public Model {
 public:
  Transformer(const ModelConfig& config, at::Device device, at::ScalarType type, bool trains)
      : config_(config), device_(device), type_(type), trains_(trains) {
    flat_ = at::empty({ParameterCount(config)}, at::TensorOptions().device(device).dtype(at::kFloat));
    if (trains) {
      flat_.zero_();
      grad_ = at::zeros_like(flat_);
    }
    MakeLeaves();
  }

  const ModelConfig& config() const override { return config_; }
  at::Tensor flat() override { return flat_; }
  at::Tensor grad() override { return grad_; }

  void Initialise(uint64_t seed, double embedding_std) override {
    at::Tensor weights = at::ones({flat_.size(0)}, at::kFloat);
    float* values = weights.mutable_data_ptr<float>();
    for (const Parameter& parameter : ParameterLayout(config_)) {
      if (EndsWith(parameter.name, ".bias")) {
        std::fill_n(values + parameter.offset, parameter.size(), 0.0f);
        continue;
      }
      if (parameter.shape.size() == 1) continue;  // a norm
      double std = 1 / std::sqrt(static_cast<double>(parameter.shape[1]));
      if (parameter.name == "model.embed_tokens.weight") std = embedding_std;
      if (EndsWith(parameter.name, "o_proj.weight") || EndsWith(parameter.name, "down_proj.weight")) {
        std /= std::sqrt(2.0 * static_cast<double>(config_.layers));
      }
      const uint64_t key = MixKey(seed, StableHash(parameter.name));
      for (int64_t i = 0; i < parameter.size(); ++i) {
        values[parameter.offset + i] = BellDraw(key, static_cast<uint64_t>(i)) * static_cast<float>(std);
      }
    }
    const at::NoGradGuard no_grad;
    flat_.copy_(weights);
  }

  TokenScores Score(const PackedSequences& sequences) override {
    const bool fused = device_.is_cpu() && type_ == at::kFloat;
    const PackedLayout layout =
        LayOut(sequences, config_, device_.is_cpu() ? CpuChunkTokens(config_) : 0, /*padded=*/!fused, device_);
    Cover(layout);
    // A layer's weights are prepared once for all chunks, and without gradients in the memory of the layer before.
    std::vector<Travelling> travelling;
    for (const Chunk& chunk : layout.chunks) travelling.push_back(Embed(chunk));
    LayerWeights weights;
    for (size_t n = 0; n < layers_.size(); ++n) {
      PrepareLayer(layers_[n], &weights);
      for (size_t i = 0; i < travelling.size(); ++i) GoThrough(n, weights, layout.chunks[i], travelling[i]);
    }
    op::Weight head;
    op::Prepare(head_, at::Tensor(), type_, &head);
    std::vector<at::Tensor> logprobs, entropy;
    for (size_t i = 0; i < travelling.size(); ++i) {
      const TokenScores scores = op::HeadLogProbs(travelling[i].y, head, layout.chunks[i].target_ids);
      travelling[i] = {};
      logprobs.push_back(scores.logprobs);
      entropy.push_back(scores.entropy);
    }
    if (logprobs.empty()) return {at::empty({0}, flat_.options()), at::empty({0}, flat_.options())};
    TokenScores all = {at::cat(logprobs), at::cat(entropy)};
    if (layout.order.defined()) {
      all = {all.logprobs.index_select(0, layout.order), all.entropy.index_select(0, layout.order)};
    }
    return all;
  }

 private:
  // Makes the rotary table long enough.
  void Cover(const PackedLayout& layout) {
    int64_t longest = 1;
    for (const Chunk& chunk : layout.chunks) longest = std::max(longest, chunk.longest);
    const int64_t covered = rotary_.cos.defined() ? rotary_.cos.size(0) : 0;
    if (longest > covered) rotary_ = op::MakeRotary(config_, std::max(longest, 2 * covered), device_);
  }

  // A view of `rows` x `columns` floats (columns 0: a vector of `rows`) that accumulates its gradient in grad_.
  at::Tensor Leaf(int64_t& offset, int64_t rows, int64_t columns) {
    const auto view = [&](const at::Tensor& flat) {
      const at::Tensor part = flat.narrow(0, offset, rows * std::max<int64_t>(columns, 1));
      return (columns == 0 ? part : part.view({rows, columns})).detach();
    };
    at::Tensor leaf = view(flat_);
    if (trains_) leaf.requires_grad_(true).mutable_grad() = view(grad_);
    offset += leaf.numel();
    return leaf;
  }

  void MakeLeaves() {
    const ModelConfig& c = config_;
    const int64_t q_width = c.heads * c.head_size(), kv_width = c.kv_heads * c.head_size();
    int64_t offset = 0;
    embedding_ = Leaf(offset, c.vocabulary, c.hidden);
    for (int64_t n = 0; n < c.layers; ++n) {
      LayerLeaves layer;
      layer.attention_norm = Leaf(offset, c.hidden, 0);
      layer.qkv = Leaf(offset, q_width + 2 * kv_width, c.hidden);
      if (c.qkv_bias) layer.qkv_bias = Leaf(offset, q_width + 2 * kv_width, 0);
      if (c.qk_norm) layer.q_norm = Leaf(offset, c.head_size(), 0);
      if (c.qk_norm) layer.k_norm = Leaf(offset, c.head_size(), 0);
      layer.attention_out = Leaf(offset, c.hidden, q_width);
      if (c.output_bias) layer.attention_out_bias = Leaf(offset, c.hidden, 0);
      layer.mlp_norm = Leaf(offset, c.hidden, 0);
      layer.gate_up = Leaf(offset, 2 * c.intermediate, c.hidden);
      if (c.mlp_bias) layer.gate_up_bias = Leaf(offset, 2 * c.intermediate, 0);
      layer.down = Leaf(offset, c.hidden, c.intermediate);
      if (c.mlp_bias) layer.down_bias = Leaf(offset, c.hidden, 0);
      layers_.push_back(std::move(layer));
    }
    final_norm_ = Leaf(offset, c.hidden, 0);
    head_ = c.tied_head ? embedding_ : Leaf(offset, c.vocabulary, c.hidden);
    TANDEM_CHECK(offset == flat_.size(0));
  }

  void PrepareLayer(const LayerLeaves& layer, LayerWeights* weights) const {
    op::Prepare(layer.qkv, layer.qkv_bias, type_, &weights->qkv);
    op::Prepare(layer.attention_out, layer.attention_out_bias, type_, &weights->attention_out);
    op::Prepare(layer.gate_up, layer.gate_up_bias, type_, &weights->gate_up);
    op::Prepare(layer.down, layer.down_bias, type_, &weights->down);
  }

  Travelling Embed(const Chunk& chunk) const {
    at::Tensor x = op::TakeRows(embedding_, chunk.ids);
    at::Tensor y = op::RmsNorm(x, layers_[0].attention_norm, config_.norm_epsilon, type_);
    return {std::move(x), std::move(y)};
  }

  // Layer n. The last one leaves only the rows that predict targets: [targets, hidden].
  void GoThrough(size_t n, const LayerWeights& weights, const Chunk& chunk, Travelling& t) const {
    const LayerLeaves& leaves = layers_[n];
    const bool last = n + 1 == layers_.size();
    at::Tensor qkv = op::Linear(t.y, weights.qkv);
    if (config_.qk_norm) qkv = op::QueryKeyNorm(qkv, config_, leaves.q_norm, leaves.k_norm);
    at::Tensor attended = op::Attention(qkv, config_, rotary_, chunk);
    if (last) {
      attended = op::TakeRows(attended, chunk.rows);
      t.x = op::TakeRows(t.x, chunk.rows);
    }
    const double epsilon = config_.norm_epsilon;
    std::tie(t.x, t.y) =
        op::AddRmsNorm(t.x, op::Linear(attended, weights.attention_out), leaves.mlp_norm, epsilon, type_);
    const at::Tensor mlp = op::Linear(op::SwiGlu(op::Linear(t.y, weights.gate_up)), weights.down);
    std::tie(t.x, t.y) = op::AddRmsNorm(t.x, mlp, last ? final_norm_ : layers_[n + 1].attention_norm, epsilon, type_);
  }

  const ModelConfig config_;
  const at::Device device_;
  const at::ScalarType type_;
  const bool trains_;
  op::Rotary rotary_;
  at::Tensor flat_, grad_;
  at::Tensor embedding_, final_norm_, head_;
  std::vector<LayerLeaves> layers_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> Model::Create(const ModelConfig& config, const std::string& device, bool bf16,
                                                     bool trains) {
  TANDEM_RETURN_IF_ERROR(CheckModelConfig(config));
  TANDEM_ASSIGN_OR_RETURN(const std::string resolved, ResolveDevice(device));
  return TorchStatus([&]() -> std::unique_ptr<Model> {
    return std::make_unique<Transformer>(config, at::Device(resolved), bf16 ? at::kBFloat16 : at::kFloat, trains);
  });
}

}  // namespace tandem
