// What is looked at before a run starts, with the rooms that know: the environment and its tasks, contexts, devices,
// ports.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "launch/config.h"
#include "policy/policy_source.h"
#include "rollout/cast.h"
#include "rollout/env/environment.h"

namespace tandem {

// Errors name the key's place, or the file and line of a bad task.
absl::StatusOr<std::unique_ptr<Environment>> OpenEnvironment(const LoadedConfig& loaded);

// Errors name the key's place, or the model's file.
absl::StatusOr<PolicySource> OpenPolicy(const LoadedConfig& loaded, const std::string& policy,
                                        const Environment& environment);

// Everything that can be wrong with a configuration: one line that names the place. Starts nothing and leaves nothing
// behind.
absl::Status CheckBeforeRun(const LoadedConfig& loaded);

// Asks each remote model for one token: an error names the key's place and what the endpoint said, after the attempts
// that the configuration allows. What it cannot answer would otherwise be known once the warm start is over.
absl::Status AskRemotes(const LoadedConfig& loaded);

// The engine's arithmetic on the configured device: our kernels on the CPU, ATen on a GPU. kUnavailable when a GPU was
// asked for and there is none.
absl::StatusOr<DecoderFactory> MakeDecoderFactory(const proto::RolloutConfig& rollout);

}  // namespace tandem
