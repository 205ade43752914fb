// Who plays which role in `tandem eval`.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "launch/config.h"
#include "launch/preflight.h"
#include "rollout/offline.h"

namespace tandem {

struct EvaluationRequest {
  std::string run;                       // folder
  std::vector<std::string> roles;        // "planner=RUN2", "executor=oracle"
  std::vector<std::string> checkpoints;  // "planner=20", "executor=0-sft-100": in place of the newest
};

struct EvaluationSetup {
  LoadedConfig loaded;
  std::unique_ptr<Environment> environment;
  std::map<std::string, std::unique_ptr<PolicySource>> sources;  // by role; the roles point there
  std::map<std::string, RoleBinding> roles;
  std::map<std::string, std::string> players;  // for people: "runs/x, planner 0-80", "oracle"
};

// Errors name the flag, the run or the checkpoint's file.
absl::StatusOr<EvaluationSetup> SetUpEvaluation(const EvaluationRequest& request);

}  // namespace tandem
