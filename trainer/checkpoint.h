// A checkpoint: a folder with optimizer.state (safetensors, under a name that nobody takes for weights) and state.json,
// which is a model folder in Hugging Face's layout as well (model.safetensors, config.json, the tokenizer's files). No
// torch.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/model_config.h"
#include "trainer/checkpoint_list.h"

namespace tandem {

inline constexpr int kCheckpointFormat = 2;

struct Checkpoint {
  std::string policy;
  CheckpointName name;
  ModelConfig shape;
  std::vector<float> weights;  // [parameters] flat, ParameterLayout's order, as are the others
  std::vector<float> first;    // AdamW's moments
  std::vector<float> second;
  std::vector<float> reference;  // weights of version 0, for the KL penalty; may be empty
  uint64_t updates = 0;          // that AdamW has made
  // Files to be written beside the weights, by name: config.json and the tokenizer's. They are not read back.
  std::map<std::string, std::string> companions = {};
};

// Writes all files into a folder aside, renames it to CheckpointFolder(...), and then removes all but the `keep` newest
// checkpoints of the policy and those that a later incarnation began with: a crash leaves no half-written one under a
// checkpoint's name. Replaces one of the same name.
absl::Status WriteCheckpoint(const std::string& run_folder, const Checkpoint& checkpoint, uint32_t keep);

// The whole checkpoint in `folder`. Errors name the file and what was expected: kNotFound or kDataLoss for a file that
// is missing or cut short, kInvalidArgument for one of another model or format, kDataLoss for weights or an
// optimizer that are not those that state.json was written for.
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& folder, const ModelConfig& shape);

// Only the weights of it, for playing: flat, float32.
absl::StatusOr<std::vector<float>> LoadWeights(const std::string& folder, const ModelConfig& shape);

// Only the name and shape: what state.json says.
struct CheckpointState {
  std::string policy;
  CheckpointName name;
  ModelConfig shape;
  uint64_t updates = 0;
  bool has_reference = false;
  std::string digest;            // of the weights' bytes
  std::string optimizer_digest;  // of its state; "" in checkpoints of before there was one
};
absl::StatusOr<CheckpointState> ReadCheckpointState(const std::string& folder);

}  // namespace tandem
