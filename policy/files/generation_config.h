// A model's generation_config.json: how its authors sample from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "policy/files/hf_config.h"

namespace tandem {

// Absent fields are empty: transformers' defaults (temperature 1, top_p 1, top_k 50) are not filled in.
struct GenerationConfig {
  EndTokens ends;
  std::optional<double> temperature, top_p;
  std::optional<int64_t> top_k;  // 0: off
};

// Reads the text of the file `path`, which errors name. Token ids must be below `vocabulary`. kDataLoss: no JSON
// object; kInvalidArgument: a field of another type or out of range.
absl::StatusOr<GenerationConfig> ParseGenerationConfig(const std::string& path, std::string_view text,
                                                       int64_t vocabulary);

}  // namespace tandem
