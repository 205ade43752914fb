// A model that was loaded to be asked something.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "launch/commands.h"
#include "policy/files/model_folder.h"
#include "policy/model.h"
#include "policy/tokenizer/tokenizer.h"
#include "rollout/engine/engine.h"

namespace tandem {

// Where a command computes, and in what type.
struct Placement {
  std::string device;  // "cpu" or "cuda"
  bool bf16 = false;
  bool int8 = false;  // of an engine on the CPU

  kernels::WeightType weights() const {
    return int8 ? kernels::WeightType::kInt8 : bf16 ? kernels::WeightType::kBf16 : kernels::WeightType::kFloat32;
  }
};
// kInvalidArgument: another device or type than there are; kUnavailable: a device that is not there.
absl::StatusOr<Placement> PlacementOf(const ModelFlags& flags);

// The folder's tokenizer. kNotFound: it has none; kInvalidArgument: it has ids that the model does not know, or is no
// tokenizer.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizerOf(const ModelFolder& folder);

// The folder's model, ready to score; it does not train. kInvalidArgument: int8, which is for engines.
absl::StatusOr<std::unique_ptr<Model>> LoadScorer(const ModelFolder& folder, const Placement& placement);

// The folder's model as version 0.0 of an engine. `cache_mb`: most memory for key-value caches, though always enough
// for one turn; 0: enough for options.max_batch turns of the whole context.
absl::StatusOr<std::unique_ptr<Engine>> LoadEngine(const ModelFolder& folder, const Placement& placement,
                                                   const EngineOptions& options, int64_t cache_mb = 0);

// What is wrong with a model that gives log-probabilities that are no numbers.
absl::Status NotANumber(const std::string& model);

}  // namespace tandem
