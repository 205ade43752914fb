// Rotary positions in config.json, which has two spellings of them.
//   transformers 4: "rope_theta": 500000.0, "rope_scaling": null or {"rope_type" or "type": "llama3", "factor": 8.0,
//                   "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
//   transformers 5: "rope_parameters": {"rope_type": "default" or "llama3", "rope_theta": 500000.0, "factor": ...}
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "absl/status/status.h"
#include "policy/files/json_fields.h"
#include "policy/model_config.h"

namespace tandem {

// Sets rope_theta and rope_scaling. What neither spelling says is transformers' default (10000, unscaled).
// kInvalidArgument, naming file and field: another rope type than default and llama3, a rotation of a part of the head
// only, parameters by kind of layer, or two spellings that contradict each other.
absl::Status ReadRope(const JsonFields& config, ModelConfig& shape);

// Writes both spellings: transformers 4 knows the first only, and others the second only.
void WriteRope(const ModelConfig& shape, nlohmann::json& config);

}  // namespace tandem
