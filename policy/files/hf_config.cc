#include "policy/files/hf_config.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/files/hf_rope.h"
#include "policy/files/json_fields.h"
#include "policy/files/strict_json.h"

namespace tandem {
namespace {

// Several times what the largest models have, and little enough that ParameterCount fits into 63 bits.
constexpr int64_t kMostVocabulary = 1 << 24, kMostHidden = 1 << 20, kMostLayers = 1024, kMostHeads = 4096;
constexpr int64_t kMostHeadDim = 4096, kMostIntermediate = 1 << 22, kMostContext = 1 << 24;

absl::StatusOr<const HfFamilyTraits*> ReadFamily(const JsonFields& fields) {
  TANDEM_ASSIGN_OR_RETURN(const std::string model_type, fields.Text("model_type", {}));
  const HfFamilyTraits* traits = FamilyNamed(model_type);
  if (traits == nullptr) return fields.Bad("model_type", "\"llama\", \"qwen2\" or \"qwen3\"");
  if (fields.Has("architectures") && fields.At("architectures") != nlohmann::json::array({traits->architecture})) {
    return fields.Bad("architectures", absl::StrCat("[\"", traits->architecture, "\"]"));
  }
  return traits;
}

absl::Status ReadSizes(const JsonFields& fields, const HfFamilyTraits& traits, ModelConfig& shape) {
  TANDEM_ASSIGN_OR_RETURN(shape.vocabulary, fields.Whole("vocab_size", traits.vocabulary, 1, kMostVocabulary));
  TANDEM_ASSIGN_OR_RETURN(shape.hidden, fields.Whole("hidden_size", kHfHidden, 1, kMostHidden));
  TANDEM_ASSIGN_OR_RETURN(shape.layers, fields.Whole("num_hidden_layers", kHfLayers, 1, kMostLayers));
  TANDEM_ASSIGN_OR_RETURN(shape.heads, fields.Whole("num_attention_heads", kHfHeads, 1, kMostHeads));
  // Absent and null are not the same here: a class without the field takes its default, one with null takes `heads`.
  const bool as_many = fields.IsNull("num_key_value_heads") || traits.kv_heads == 0;
  TANDEM_ASSIGN_OR_RETURN(shape.kv_heads,
                          fields.Whole("num_key_value_heads", as_many ? shape.heads : traits.kv_heads, 1, kMostHeads));
  TANDEM_ASSIGN_OR_RETURN(shape.head_dim, fields.Whole("head_dim", traits.head_dim, 0, kMostHeadDim));
  if (fields.Has("head_dim") && shape.head_dim == 0) return fields.Bad("head_dim", "1 or more");
  if (shape.head_dim * shape.heads == shape.hidden) shape.head_dim = 0;
  TANDEM_ASSIGN_OR_RETURN(shape.intermediate,
                          fields.Whole("intermediate_size", traits.intermediate, 1, kMostIntermediate));
  TANDEM_ASSIGN_OR_RETURN(shape.context, fields.Whole("max_position_embeddings", traits.context, 1, kMostContext));
  return absl::OkStatus();
}

absl::Status ReadBiases(const JsonFields& fields, HfFamily family, ModelConfig& shape) {
  shape.qkv_bias = family == HfFamily::kQwen2;
  shape.qk_norm = family == HfFamily::kQwen3;
  if (family != HfFamily::kQwen2) {
    TANDEM_ASSIGN_OR_RETURN(shape.qkv_bias, fields.Flag("attention_bias", false));
    shape.output_bias = shape.qkv_bias;
  }
  if (family == HfFamily::kLlama) {
    TANDEM_ASSIGN_OR_RETURN(shape.mlp_bias, fields.Flag("mlp_bias", false));
  }
  return absl::OkStatus();
}

// What would make another model of the same shape.
absl::Status RefuseUnsupported(const JsonFields& fields) {
  TANDEM_ASSIGN_OR_RETURN(const std::string activation, fields.Text("hidden_act", "silu"));
  if (activation != "silu") return fields.Bad("hidden_act", "\"silu\"");
  TANDEM_ASSIGN_OR_RETURN(const bool sliding, fields.Flag("use_sliding_window", false));
  if (sliding) return fields.Bad("use_sliding_window", "false: every layer attends to the whole sequence");
  if (fields.Has("layer_types")) {
    const nlohmann::json& types = fields.At("layer_types");
    bool full = types.is_array();
    for (const nlohmann::json& type : types) full = full && type == "full_attention";
    if (!full) return fields.Bad("layer_types", "a list of \"full_attention\"");
  }
  if (fields.Has("quantization_config")) {
    return fields.Bad("quantization_config", "none: weights of F32, BF16 or F16 are read");
  }
  return absl::OkStatus();
}

absl::Status ReadTokenIds(const JsonFields& fields, const HfFamilyTraits& traits, HfConfig& out) {
  const int64_t most = out.shape.vocabulary - 1;
  // Null means none, while an absent one is the class's default.
  if (traits.eos_id && !fields.IsNull("eos_token_id")) out.ends.eos_ids = {*traits.eos_id};
  if (!fields.IsNull("bos_token_id")) out.ends.bos_id = traits.bos_id;
  TANDEM_ASSIGN_OR_RETURN(out.ends.eos_ids, fields.TokenIds("eos_token_id", out.ends.eos_ids, most));
  if (fields.Has("bos_token_id")) {
    TANDEM_ASSIGN_OR_RETURN(const int64_t bos, fields.Whole("bos_token_id", {}, 0, most));
    out.ends.bos_id = static_cast<int32_t>(bos);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HfConfig> ParseHfConfig(const std::string& path, std::string_view text) {
  TANDEM_ASSIGN_OR_RETURN(const nlohmann::json config, ParseStrictJson(path, text));
  const JsonFields fields(path, config);
  HfConfig out;
  out.text = text;
  TANDEM_ASSIGN_OR_RETURN(const HfFamilyTraits* traits, ReadFamily(fields));
  out.family = traits->family;
  TANDEM_RETURN_IF_ERROR(RefuseUnsupported(fields));
  TANDEM_RETURN_IF_ERROR(ReadSizes(fields, *traits, out.shape));
  TANDEM_RETURN_IF_ERROR(ReadBiases(fields, out.family, out.shape));
  TANDEM_RETURN_IF_ERROR(ReadRope(fields, out.shape));
  TANDEM_ASSIGN_OR_RETURN(out.shape.norm_epsilon, fields.Number("rms_norm_eps", 1e-6, 0, 1));
  TANDEM_ASSIGN_OR_RETURN(out.shape.tied_head, fields.Flag("tie_word_embeddings", false));
  TANDEM_RETURN_IF_ERROR(Annotate(CheckModelConfig(out.shape), path));
  TANDEM_RETURN_IF_ERROR(ReadTokenIds(fields, *traits, out));
  return out;
}

}  // namespace tandem
