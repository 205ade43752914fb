// Small models with what each family of Hugging Face models has of its own.
#pragma once

#include "policy/model_config.h"

namespace tandem {

inline ModelConfig Qwen2Shape() {
  return {.vocabulary = 24,
          .hidden = 32,
          .heads = 4,
          .kv_heads = 2,
          .intermediate = 56,
          .rope_theta = 1e6,
          .qkv_bias = true};
}

inline ModelConfig Qwen3Shape() {
  return {.vocabulary = 24,
          .hidden = 24,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 10,
          .intermediate = 40,
          .norm_epsilon = 1e-6,
          .tied_head = false,
          .qk_norm = true};
}

// Positions up to 64, four times as many as the rope is scaled from, and a bias wherever Llama may have one.
inline ModelConfig Llama3Shape() {
  return {.vocabulary = 24,
          .hidden = 36,
          .heads = 3,
          .kv_heads = 3,
          .head_dim = 16,
          .intermediate = 41,
          .rope_theta = 100,
          .rope_scaling = RopeScaling{.factor = 4, .original_context = 16},
          .tied_head = false,
          .qkv_bias = true,
          .output_bias = true,
          .mlp_bias = true};
}

}  // namespace tandem
