// What is looked at before a run starts, with the rooms that know: the environment and its tasks, contexts, devices,
// ports.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "launch/config.h"
#include "policy/tokenizer/character_tokenizer.h"
#include "rollout/cast.h"
#include "rollout/env/environment.h"

namespace tandem {

struct TaskSource {
  std::unique_ptr<Environment> environment;
  CharacterTokenizer tokenizer;  // of its alphabet
};

// Errors name the key's place, or the file and line of a bad task.
absl::StatusOr<TaskSource> MakeTaskSource(const LoadedConfig& loaded);

// Everything that can be wrong with a configuration: one line that names the place. Starts nothing and leaves nothing
// behind.
absl::Status CheckBeforeRun(const LoadedConfig& loaded);

// The engine's arithmetic on the configured device: our kernels on the CPU, ATen on a GPU. kUnavailable when a GPU was
// asked for and there is none.
absl::StatusOr<DecoderFactory> MakeDecoderFactory(const proto::RolloutConfig& rollout);

}  // namespace tandem
