#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/files/hf_config.h"
#include "policy/files/hf_rope.h"
#include "policy/files/strict_json.h"

namespace tandem {
namespace {

nlohmann::json IdsToJson(const std::vector<int32_t>& ids) {
  if (ids.empty()) return nullptr;
  return ids.size() == 1 ? nlohmann::json(ids[0]) : nlohmann::json(ids);
}

absl::Status CheckEnds(const EndTokens& ends, int64_t vocabulary) {
  std::vector<int32_t> ids = ends.eos_ids;
  if (ends.bos_id) ids.push_back(*ends.bos_id);
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocabulary) {
      return absl::InvalidArgumentError(
          absl::StrCat("config.json: token id ", id, " is not of a vocabulary of ", vocabulary));
    }
  }
  return absl::OkStatus();
}

void WriteShape(const ModelConfig& shape, HfFamily family, nlohmann::json& config) {
  config["vocab_size"] = shape.vocabulary;
  config["hidden_size"] = shape.hidden;
  config["num_hidden_layers"] = shape.layers;
  config["num_attention_heads"] = shape.heads;
  config["num_key_value_heads"] = shape.kv_heads;
  // Qwen2's class has no such field, but its model heeds it.
  if (family != HfFamily::kQwen2 || shape.head_size() * shape.heads != shape.hidden) {
    config["head_dim"] = shape.head_size();
  }
  config["intermediate_size"] = shape.intermediate;
  config["max_position_embeddings"] = shape.context;
  config["rms_norm_eps"] = shape.norm_epsilon;
  config["tie_word_embeddings"] = shape.tied_head;
  config["hidden_act"] = "silu";
  if (family != HfFamily::kQwen2) config["attention_bias"] = shape.qkv_bias;
  if (family == HfFamily::kLlama) config["mlp_bias"] = shape.mlp_bias;
  WriteRope(shape, config);
}

}  // namespace

absl::StatusOr<std::string> HfConfigText(const ModelConfig& shape, Dtype dtype, const EndTokens& ends,
                                         const HfConfig* like) {
  TANDEM_RETURN_IF_ERROR(CheckModelConfig(shape));
  TANDEM_RETURN_IF_ERROR(CheckEnds(ends, shape.vocabulary));
  TANDEM_ASSIGN_OR_RETURN(const HfFamily family,
                          FamilyFor(shape, like != nullptr ? std::optional(like->family) : std::nullopt));
  nlohmann::json config = nlohmann::json::object();
  if (like != nullptr && like->family == family) {
    TANDEM_ASSIGN_OR_RETURN(config, ParseStrictJson("config.json", like->text));
    // Says of each layer that it attends to all: of another number of layers it would be wrong.
    if (like->shape.layers != shape.layers) config.erase("layer_types");
  }
  const HfFamilyTraits& traits = TraitsOf(family);
  config["model_type"] = traits.model_type;
  config["architectures"] = nlohmann::json::array({traits.architecture});
  config["torch_dtype"] = TorchDtypeName(dtype);
  config["dtype"] = TorchDtypeName(dtype);  // its newer name
  WriteShape(shape, family, config);
  // An absent id would be the class's default, so that "none" has to be said.
  config["eos_token_id"] = IdsToJson(ends.eos_ids);
  config["bos_token_id"] = ends.bos_id ? nlohmann::json(*ends.bos_id) : nlohmann::json();
  return config.dump(2) + "\n";
}

}  // namespace tandem
