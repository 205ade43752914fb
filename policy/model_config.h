// The shape of a decoder-only transformer of the Llama/Qwen family: RMSNorm, rotary positions, grouped-query attention,
// SwiGLU, tied or untied head.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace tandem {

// Llama 3's way of stretching rotary positions beyond the context that a model was first trained on: wavelengths longer
// than original_context / low_frequency_factor are stretched by `factor`, those shorter than original_context /
// high_frequency_factor are left alone, and those in between are blended (Llama 3.1, transformers'
// _compute_llama3_parameters).
struct RopeScaling {
  double factor = 8;
  double low_frequency_factor = 1;
  double high_frequency_factor = 4;
  int64_t original_context = 8192;
  bool operator==(const RopeScaling&) const = default;
};

struct ModelConfig {
  int64_t vocabulary = 0;
  int64_t hidden = 64;
  int64_t layers = 2;
  int64_t heads = 4;
  int64_t kv_heads = 4;
  int64_t head_dim = 0;  // width of a head; 0: hidden / heads
  int64_t intermediate = 192;
  int64_t context = 64;  // most tokens of a sequence
  double rope_theta = 10000;
  std::optional<RopeScaling> rope_scaling = {};
  double norm_epsilon = 1e-5;
  bool tied_head = true;
  bool qkv_bias = false;     // Qwen2
  bool output_bias = false;  // of o_proj
  bool mlp_bias = false;
  bool qk_norm = false;  // RMSNorm of each head's query and key before they are turned: Qwen3

  int64_t head_size() const { return head_dim > 0 ? head_dim : hidden / heads; }
  bool operator==(const ModelConfig&) const = default;
};

// kInvalidArgument names the field: sizes are at least 1, heads must divide hidden (unless head_dim is given), kv_heads
// divide heads, head_size be even.
absl::Status CheckModelConfig(const ModelConfig& config);

// One parameter tensor within the flat weights of a model.
struct Parameter {
  std::string name;            // as Hugging Face names it: "model.layers.0.self_attn.q_proj.weight"
  std::vector<int64_t> shape;  // linear layers are [out, in]
  int64_t offset;              // in floats, from the start of the flat weights
  int64_t size() const;
};

// All parameters in the one order that the wire, the digest and the engine agree on. The flat weights of a version are
// these tensors, float32, contiguous, one after the other.
//   model.embed_tokens.weight [vocabulary, hidden]
//   of each layer model.layers.N:
//     input_layernorm.weight [hidden]
//     self_attn.{q,k,v}_proj.weight [heads or kv_heads * head_size, hidden]
//     self_attn.{q,k,v}_proj.bias [heads or kv_heads * head_size]   (qkv_bias)
//     self_attn.{q,k}_norm.weight [head_size]                       (qk_norm)
//     self_attn.o_proj.weight [hidden, heads * head_size], .bias [hidden]   (output_bias)
//     post_attention_layernorm.weight [hidden]
//     mlp.{gate,up}_proj.weight [intermediate, hidden]
//     mlp.{gate,up}_proj.bias [intermediate]   (mlp_bias)
//     mlp.down_proj.weight [hidden, intermediate], .bias [hidden]   (mlp_bias)
//   model.norm.weight [hidden]
//   lm_head.weight [vocabulary, hidden]   (untied only)
std::vector<Parameter> ParameterLayout(const ModelConfig& config);
int64_t ParameterCount(const ModelConfig& config);

}  // namespace tandem
