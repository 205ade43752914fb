// The shape of a decoder-only transformer of the Llama/Qwen family: RMSNorm, rotary positions, grouped-query attention,
// SwiGLU, tied or untied head.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace tandem {

struct ModelConfig {
  int64_t vocabulary = 0;
  int64_t hidden = 64;
  int64_t layers = 2;
  int64_t heads = 4;
  int64_t kv_heads = 4;
  int64_t intermediate = 192;
  int64_t context = 64;  // most tokens of a sequence
  double rope_theta = 10000;
  double norm_epsilon = 1e-5;
  bool tied_head = true;

  int64_t head_size() const { return hidden / heads; }
  bool operator==(const ModelConfig&) const = default;
};

// kInvalidArgument names the field: sizes are at least 1, heads must divide hidden, kv_heads divide heads, head_size be
// even.
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
//   model.layers.N.input_layernorm.weight [hidden]
//   model.layers.N.self_attn.{q,k,v}_proj.weight [heads or kv_heads * head_size, hidden], o_proj.weight [hidden, heads
//   * head_size] model.layers.N.post_attention_layernorm.weight [hidden] model.layers.N.mlp.{gate,up}_proj.weight
//   [intermediate, hidden], down_proj.weight [hidden, intermediate] model.norm.weight [hidden] lm_head.weight
//   [vocabulary, hidden]   (untied only)
std::vector<Parameter> ParameterLayout(const ModelConfig& config);
int64_t ParameterCount(const ModelConfig& config);

}  // namespace tandem
