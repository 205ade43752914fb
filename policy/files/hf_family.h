// The model families of Hugging Face's transformers that a ModelConfig can be: what each leaves unsaid in config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/model_config.h"

namespace tandem {

enum class HfFamily { kLlama, kQwen2, kQwen3 };

// The defaults of the family's configuration class (transformers 4.57 and 5, configuration_*.py). What all have in
// common: rms_norm_eps 1e-6, rope_theta 10000, tie_word_embeddings and biases false.
struct HfFamilyTraits {
  HfFamily family;
  const char *model_type, *architecture;
  int64_t vocabulary, intermediate, context;
  int64_t kv_heads;  // where the field is absent; 0: as many as heads, which null means in every family
  int64_t head_dim;  // where the field is absent; 0: hidden / heads
  std::optional<int32_t> bos_id, eos_id;
};
inline constexpr int64_t kHfHidden = 4096, kHfLayers = 32, kHfHeads = 32;  // of every family

const HfFamilyTraits& TraitsOf(HfFamily family);
const HfFamilyTraits* FamilyNamed(std::string_view model_type);  // null: not one of ours

// Whether models of the family can have this shape.
//              biases of q, k, v | of o_proj    | of the MLP | norms of q and k | hidden / heads
//   llama      attention_bias    | as q, k, v   | mlp_bias   | no               | whole
//   qwen2      yes               | no           | no         | no               |
//   qwen3      attention_bias    | as q, k, v   | no         | yes              |
bool CanExpress(HfFamily family, const ModelConfig& shape);

// The family that a shape is written as: `preferred` where it can be, else the first that can. kInvalidArgument: none.
absl::StatusOr<HfFamily> FamilyFor(const ModelConfig& shape, std::optional<HfFamily> preferred);

}  // namespace tandem
