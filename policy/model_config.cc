#include "policy/model_config.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {

absl::Status CheckModelConfig(const ModelConfig& c) {
  if (c.vocabulary < 1) return absl::InvalidArgumentError("vocabulary is empty");
  if (c.hidden < 1 || c.layers < 1 || c.intermediate < 1 || c.context < 1) {
    return absl::InvalidArgumentError(absl::StrCat("hidden: ", c.hidden, ", layers: ", c.layers,
                                                   ", intermediate: ", c.intermediate, ", context: ", c.context,
                                                   "; each must be 1 or more"));
  }
  if (c.heads < 1 || (c.head_dim == 0 && c.hidden % c.heads != 0)) {
    return absl::InvalidArgumentError(absl::StrCat("heads: ", c.heads, " does not divide hidden: ", c.hidden));
  }
  if (c.kv_heads < 1 || c.heads % c.kv_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat("kv_heads: ", c.kv_heads, " does not divide heads: ", c.heads));
  }
  if (c.head_size() < 2 || c.head_size() % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat(c.head_dim > 0 ? "head_dim" : "hidden / heads", " = ", c.head_size(),
                                                   " is odd; rotary positions turn pairs"));
  }
  if (c.rope_scaling && !(c.rope_scaling->factor >= 1 && c.rope_scaling->low_frequency_factor > 0 &&
                          c.rope_scaling->high_frequency_factor > c.rope_scaling->low_frequency_factor &&
                          c.rope_scaling->original_context > 0)) {
    return absl::InvalidArgumentError(
        "rope_scaling: expected a factor of 1 or more, and a high frequency factor above the low one");
  }
  return absl::OkStatus();
}

int64_t Parameter::size() const {
  int64_t size = 1;
  for (int64_t extent : shape) size *= extent;
  return size;
}

std::vector<Parameter> ParameterLayout(const ModelConfig& c) {
  std::vector<Parameter> layout;
  int64_t offset = 0;
  auto add = [&](std::string name, std::vector<int64_t> shape) {
    layout.push_back({std::move(name), std::move(shape), offset});
    offset += layout.back().size();
  };
  const int64_t q_width = c.heads * c.head_size(), kv_width = c.kv_heads * c.head_size();
  add("model.embed_tokens.weight", {c.vocabulary, c.hidden});
  for (int64_t n = 0; n < c.layers; ++n) {
    const std::string layer = absl::StrCat("model.layers.", n, ".");
    add(layer + "input_layernorm.weight", {c.hidden});
    add(layer + "self_attn.q_proj.weight", {q_width, c.hidden});
    add(layer + "self_attn.k_proj.weight", {kv_width, c.hidden});
    add(layer + "self_attn.v_proj.weight", {kv_width, c.hidden});
    if (c.qkv_bias) {
      add(layer + "self_attn.q_proj.bias", {q_width});
      add(layer + "self_attn.k_proj.bias", {kv_width});
      add(layer + "self_attn.v_proj.bias", {kv_width});
    }
    if (c.qk_norm) {
      add(layer + "self_attn.q_norm.weight", {c.head_size()});
      add(layer + "self_attn.k_norm.weight", {c.head_size()});
    }
    add(layer + "self_attn.o_proj.weight", {c.hidden, q_width});
    if (c.output_bias) add(layer + "self_attn.o_proj.bias", {c.hidden});
    add(layer + "post_attention_layernorm.weight", {c.hidden});
    add(layer + "mlp.gate_proj.weight", {c.intermediate, c.hidden});
    add(layer + "mlp.up_proj.weight", {c.intermediate, c.hidden});
    if (c.mlp_bias) {
      add(layer + "mlp.gate_proj.bias", {c.intermediate});
      add(layer + "mlp.up_proj.bias", {c.intermediate});
    }
    add(layer + "mlp.down_proj.weight", {c.hidden, c.intermediate});
    if (c.mlp_bias) add(layer + "mlp.down_proj.bias", {c.hidden});
  }
  add("model.norm.weight", {c.hidden});
  if (!c.tied_head) add("lm_head.weight", {c.vocabulary, c.hidden});
  return layout;
}

int64_t ParameterCount(const ModelConfig& config) {
  const Parameter last = ParameterLayout(config).back();
  return last.offset + last.size();
}

}  // namespace tandem
