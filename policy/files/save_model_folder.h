// A model written in Hugging Face's layout, for transformers, vLLM and others to load.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "policy/files/dtype.h"
#include "policy/files/hf_config.h"
#include "policy/model_config.h"

namespace tandem {

struct SaveModelOptions {
  Dtype dtype = Dtype::kF32;  // weights are rounded to it
  // The folder that the model came from, or "": its CopiedFiles() (a tokenizer's, generation_config.json) are copied,
  // and the fields of its config.json that Tandem does not know are kept. It may have no config.json.
  std::string source = {};
  std::optional<EndTokens> ends = {};        // none: the source's
  int64_t most_shard_bytes = 5'000'000'000;  // of tensors in one file
};

// Writes config.json and the weights `flat` (of ParameterCount(shape) floats, ParameterLayout's order), in shards with
// an index where one file would grow too large. A tied head is not written twice. All is written into a folder beside
// `path`, synced, and renamed: after a crash `path` is what it was or the whole new model (at worst a folder
// PATH.partial-N is left over). `path` may be absent, empty, or a model that holds nothing but files that this function
// writes, which is replaced; it may be the source. kFailedPrecondition: anything else, naming what would be lost.
// kInvalidArgument: a shape that no family can express, a weight beyond float16, a source that cannot be read.
absl::Status SaveModelFolder(const std::string& path, const ModelConfig& shape, std::span<const float> flat,
                             const SaveModelOptions& options);

}  // namespace tandem
