// A policy's weights in one safetensors file of float32: what a checkpoint holds.
#pragma once

#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/files/safetensors.h"
#include "policy/model_config.h"

namespace tandem {

// A model's flat weights (ParameterLayout's order) under their Hugging Face names. The metadata gets "format": "pt",
// which Hugging Face's loader asks for, and "tandem_format": "1".
absl::Status SaveWeights(const std::string& path, const ModelConfig& config, std::span<const float> flat,
                         FileMetadata metadata);

// Fills `flat` (of ParameterCount(config) floats) and returns the metadata. A tensor that is missing, of another shape
// or type than F32, or not the model's is kInvalidArgument; `flat` is then left as it was.
absl::StatusOr<FileMetadata> LoadWeights(const std::string& path, const ModelConfig& config, std::span<float> flat);

// The numbers of one float32 tensor. kInvalidArgument names file and tensor when it is missing, of another shape, or of
// another type.
absl::StatusOr<std::vector<float>> ReadFloats(const SafetensorsFile& file, std::string_view name,
                                              const std::vector<int64_t>& shape);

}  // namespace tandem
