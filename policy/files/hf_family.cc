#include "policy/files/hf_family.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

constexpr HfFamilyTraits kFamilies[] = {{.family = HfFamily::kLlama,
                                         .model_type = "llama",
                                         .architecture = "LlamaForCausalLM",
                                         .vocabulary = 32000,
                                         .intermediate = 11008,
                                         .context = 2048,
                                         .kv_heads = 0,
                                         .head_dim = 0,
                                         .bos_id = 1,
                                         .eos_id = 2},
                                        {.family = HfFamily::kQwen2,
                                         .model_type = "qwen2",
                                         .architecture = "Qwen2ForCausalLM",
                                         .vocabulary = 151936,
                                         .intermediate = 22016,
                                         .context = 32768,
                                         .kv_heads = 32,
                                         .head_dim = 0,
                                         .bos_id = {},
                                         .eos_id = {}},
                                        {.family = HfFamily::kQwen3,
                                         .model_type = "qwen3",
                                         .architecture = "Qwen3ForCausalLM",
                                         .vocabulary = 151936,
                                         .intermediate = 22016,
                                         .context = 32768,
                                         .kv_heads = 32,
                                         .head_dim = 128,
                                         .bos_id = {},
                                         .eos_id = {}}};

}  // namespace

const HfFamilyTraits& TraitsOf(HfFamily family) {
  for (const HfFamilyTraits& traits : kFamilies) {
    if (traits.family == family) return traits;
  }
  TANDEM_CHECK(false);
}

const HfFamilyTraits* FamilyNamed(std::string_view model_type) {
  for (const HfFamilyTraits& traits : kFamilies) {
    if (std::string_view(traits.model_type) == model_type) return &traits;
  }
  return nullptr;
}

bool CanExpress(HfFamily family, const ModelConfig& shape) {
  switch (family) {
    case HfFamily::kLlama:
      return !shape.qk_norm && shape.qkv_bias == shape.output_bias && shape.hidden % shape.heads == 0;
    case HfFamily::kQwen2:
      return !shape.qk_norm && shape.qkv_bias && !shape.output_bias && !shape.mlp_bias;
    case HfFamily::kQwen3:
      return shape.qk_norm && shape.qkv_bias == shape.output_bias && !shape.mlp_bias;
  }
  return false;
}

absl::StatusOr<HfFamily> FamilyFor(const ModelConfig& shape, std::optional<HfFamily> preferred) {
  if (preferred && CanExpress(*preferred, shape)) return *preferred;
  for (const HfFamilyTraits& traits : kFamilies) {
    if (CanExpress(traits.family, shape)) return traits.family;
  }
  const auto yes = [](bool value) { return value ? "true" : "false"; };
  return absl::InvalidArgumentError(
      absl::StrCat("no model family of Hugging Face's (llama, qwen2, qwen3) has this shape: qkv_bias ",
                   yes(shape.qkv_bias), ", output_bias ", yes(shape.output_bias), ", mlp_bias ", yes(shape.mlp_bias),
                   ", qk_norm ", yes(shape.qk_norm), ", hidden ", shape.hidden, " with ", shape.heads, " heads"));
}

}  // namespace tandem
