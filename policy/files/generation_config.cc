#include "policy/files/generation_config.h"

#include <nlohmann/json.hpp>

#include "base/status.h"
#include "policy/files/json_fields.h"
#include "policy/files/strict_json.h"

namespace tandem {

absl::StatusOr<GenerationConfig> ParseGenerationConfig(const std::string& path, std::string_view text,
                                                       int64_t vocabulary) {
  TANDEM_ASSIGN_OR_RETURN(const nlohmann::json config, ParseStrictJson(path, text));
  const JsonFields fields(path, config);
  GenerationConfig out;
  TANDEM_ASSIGN_OR_RETURN(out.ends.eos_ids, fields.TokenIds("eos_token_id", {}, vocabulary - 1));
  if (fields.Has("bos_token_id")) {
    TANDEM_ASSIGN_OR_RETURN(const int64_t bos, fields.Whole("bos_token_id", {}, 0, vocabulary - 1));
    out.ends.bos_id = static_cast<int32_t>(bos);
  }
  if (fields.Has("temperature")) {
    TANDEM_ASSIGN_OR_RETURN(out.temperature, fields.Number("temperature", {}, 0, 1000));
  }
  if (fields.Has("top_p")) {
    TANDEM_ASSIGN_OR_RETURN(out.top_p, fields.Number("top_p", {}, 0, 1));
  }
  if (fields.Has("top_k")) {
    TANDEM_ASSIGN_OR_RETURN(out.top_k, fields.Whole("top_k", {}, 0, INT32_MAX));
  }
  return out;
}

}  // namespace tandem
