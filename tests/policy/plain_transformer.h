// The same model in plain ATen operations over a padded batch, in float32 or double: the reference of the tests, and
// the yardstick of tests/bench/training.cc. Written without a look at policy/'s operations.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "policy/model.h"
#include "policy/model_config.h"

namespace tandem {

class PlainTransformer {
 public:
  // flat: [parameters]; its type is what everything is computed in. The parameters are copies that require gradients.
  PlainTransformer(const ModelConfig& config, const at::Tensor& flat) : config_(config) {
    for (const Parameter& p : ParameterLayout(config)) {
      weights_[p.name] = flat.narrow(0, p.offset, p.size()).view(p.shape).clone().requires_grad_(true);
    }
    const at::Tensor angles =
        at::arange(config.context, at::kDouble).unsqueeze(1) * Scaled(Frequencies(config)).unsqueeze(0);
    cos_ = at::cat({angles.cos(), angles.cos()}, 1).to(flat.scalar_type());
    sin_ = at::cat({angles.sin(), angles.sin()}, 1).to(flat.scalar_type());
  }

  // The sequences as a padded batch, [sequences, longest], and the places in it of what predicts each target.
  struct Batch {
    at::Tensor ids, places, target_ids;
  };
  static Batch Pad(const PackedSequences& s) {
    int64_t longest = 0;
    for (const int32_t length : s.lengths) longest = std::max<int64_t>(longest, length);
    const int64_t count = static_cast<int64_t>(s.lengths.size());
    at::Tensor ids = at::zeros({count, longest}, at::kLong);
    std::vector<int64_t> place_of(s.ids.size()), places, target_ids;
    size_t token = 0;
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t t = 0; t < s.lengths[i]; ++t, ++token) {
        ids.mutable_data_ptr<int64_t>()[i * longest + t] = s.ids[token];
        place_of[token] = i * longest + t;
      }
    }
    for (const int32_t target : s.targets) {
      places.push_back(place_of[target] - 1);
      target_ids.push_back(s.ids[target]);
    }
    return {ids, at::tensor(places, at::kLong), at::tensor(target_ids, at::kLong)};
  }

  // [sequences, longest, vocabulary] log-probabilities of the next token at every place.
  at::Tensor Forward(const at::Tensor& ids) {
    at::Tensor x = at::embedding(weights_["model.embed_tokens.weight"], ids);
    for (int64_t n = 0; n < config_.layers; ++n) {
      const std::string layer = "model.layers." + std::to_string(n) + ".";
      x = x + Attention(Norm(x, layer + "input_layernorm.weight"), layer + "self_attn.");
      const at::Tensor y = Norm(x, layer + "post_attention_layernorm.weight");
      const at::Tensor gate = at::silu(Linear(y, layer + "mlp.gate_proj"));
      x = x + Linear(gate * Linear(y, layer + "mlp.up_proj"), layer + "mlp.down_proj");
    }
    x = Norm(x, "model.norm.weight");
    const char* head = config_.tied_head ? "model.embed_tokens.weight" : "lm_head.weight";
    return at::log_softmax(at::linear(x, weights_[head]), -1);
  }

  at::Tensor LogProbs(const Batch& batch) {
    const at::Tensor all = Forward(batch.ids).view({-1, config_.vocabulary}).index_select(0, batch.places);
    return all.gather(1, batch.target_ids.unsqueeze(1)).squeeze(1);
  }

  TokenScores Score(const PackedSequences& s) {
    const Batch batch = Pad(s);
    const at::Tensor all = Forward(batch.ids).view({-1, config_.vocabulary}).index_select(0, batch.places);
    return {all.gather(1, batch.target_ids.unsqueeze(1)).squeeze(1), -(all.exp() * all).sum(-1)};
  }

  // [parameters] gradients in ParameterLayout's order.
  at::Tensor Grad() {
    std::vector<at::Tensor> grads;
    for (const Parameter& p : ParameterLayout(config_)) grads.push_back(weights_[p.name].grad().reshape({-1}));
    return at::cat(grads);
  }

  void ZeroGrad() {
    for (auto& [name, weight] : weights_) weight.mutable_grad() = at::Tensor();
  }

 private:
  static at::Tensor Frequencies(const ModelConfig& config) {
    const int64_t half = config.head_size() / 2;
    return at::pow(config.rope_theta, -at::arange(half, at::kDouble) / static_cast<double>(half));
  }

  // As transformers' _compute_llama3_parameters words it: by wavelengths, with two masks.
  at::Tensor Scaled(const at::Tensor& frequencies) const {
    if (!config_.rope_scaling) return frequencies;
    const RopeScaling& s = *config_.rope_scaling;
    const double original = static_cast<double>(s.original_context);
    const at::Tensor wavelengths = 2 * M_PI / frequencies;
    const at::Tensor is_long = wavelengths > original / s.low_frequency_factor;
    const at::Tensor is_medium = ~(wavelengths < original / s.high_frequency_factor) & ~is_long;
    const at::Tensor smooth =
        (original / wavelengths - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor);
    const at::Tensor blended = (1 - smooth) * frequencies / s.factor + smooth * frequencies;
    return at::where(is_medium, blended, at::where(is_long, frequencies / s.factor, frequencies));
  }

  at::Tensor Linear(const at::Tensor& x, const std::string& name) {
    const auto bias = weights_.find(name + ".bias");
    return at::linear(x, weights_.at(name + ".weight"),
                      bias == weights_.end() ? std::nullopt : std::optional(bias->second));
  }

  at::Tensor Norm(const at::Tensor& x, const std::string& weight) {
    return at::rms_norm(x, {x.size(-1)}, weights_[weight], config_.norm_epsilon);
  }

  at::Tensor Turn(const at::Tensor& x) {  // [sequences, heads, longest, head_size]
    const int64_t length = x.size(2), half = config_.head_size() / 2;
    const at::Tensor turned = at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
    return x * cos_.narrow(0, 0, length) + turned * sin_.narrow(0, 0, length);
  }

  at::Tensor Attention(const at::Tensor& x, const std::string& name) {
    const int64_t count = x.size(0), length = x.size(1), size = config_.head_size();
    const auto project = [&](const std::string& which, int64_t heads) {
      at::Tensor y = Linear(x, name + which + "_proj").view({count, length, heads, size});
      if (config_.qk_norm && which != "v") y = Norm(y, name + which + "_norm.weight");
      return y.transpose(1, 2);
    };
    const at::Tensor q = Turn(project("q", config_.heads));
    const at::Tensor k = Turn(project("k", config_.kv_heads));
    const at::Tensor v = project("v", config_.kv_heads);
    const at::Tensor out = at::scaled_dot_product_attention(q, k, v, {}, 0.0, /*is_causal=*/true, {},
                                                            /*enable_gqa=*/config_.heads != config_.kv_heads);
    return Linear(out.transpose(1, 2).reshape({count, length, config_.heads * size}), name + "o_proj");
  }

  const ModelConfig config_;
  std::map<std::string, at::Tensor> weights_;
  at::Tensor cos_, sin_;  // [context, head_size]
};

}  // namespace tandem
