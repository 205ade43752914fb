// Going on with a run: `tandem train --resume RUN`.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "launch/config.h"
#include "trainer/checkpoint_list.h"

namespace tandem {

struct ResumePlan {
  uint32_t incarnation = 0;  // a new one: a version never names two sets of bytes
  double clock_offset_s = 0;
  std::map<std::string, CheckpointName> checkpoints;  // each policy's newest; policies without one start afresh
};

// kNotFound when the run has no checkpoint at all, kFailedPrecondition when it has all its steps already, kDataLoss
// when a checkpoint's state cannot be read.
absl::StatusOr<ResumePlan> PlanResume(const std::string& run_folder, const proto::Config& config);

// A resumed run keeps its policies, roles and shapes of models, and its environment's alphabet: otherwise
// kInvalidArgument names the key.
absl::Status CheckSameShape(const LoadedConfig& before, const LoadedConfig& now);

// A policy that started from a model folder needs it again: kInvalidArgument names the file in it that is not, any
// more, what the policy's checkpoint was trained with. (Weights may have changed: the checkpoint has its own.)
absl::Status CheckSameModels(const LoadedConfig& loaded, const std::string& run_folder, const ResumePlan& plan);

}  // namespace tandem
