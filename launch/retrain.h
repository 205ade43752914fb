// Trains anew on the schedule of a run, with another loss: which groups each step consumes and which version writes
// what are those of the run, so that two losses can be compared without the noise of scheduling.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem {

struct RetrainRequest {
  std::string run;                      // its folder
  std::optional<uint32_t> incarnation;  // the last one by default
  // Changes to the configuration: of a policy's loss, optimizer and advantage. Keys without a policy, as in loss=grpo
  // (short for loss.name) and optimizer.learning_rate=1e-3, are those of all policies.
  std::vector<std::string> sets;
  std::string run_dir;  // new or empty; "": runs/<name>-schedule-<time>
};

// Blocks until the end, and returns the folder of the new run: config.yaml, metrics.jsonl (what was learned is new,
// what is said of the schedule was recorded), episodes.jsonl, the last checkpoints and report.html. `progress` gets the
// share that is done. Every group keeps its step; the version of each (episode, role, node, position) is the recorded
// one (rollout/repeat.h). Errors as Replay's; kInvalidArgument: a key that would change the schedule; kAborted: a step
// that is not finite with the new loss.
absl::StatusOr<std::string> Retrain(const RetrainRequest& request, const std::function<void(double)>& progress);

}  // namespace tandem
