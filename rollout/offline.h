// Plays episodes with fixed weights, without an exchange: `tandem eval`.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "rollout/cast.h"

namespace tandem {

// Who plays a role.
struct RoleBinding {
  bool oracle = false;                   // the scripted role; the rest is not used
  const PolicySource* source = nullptr;  // of the policy; outlives the run
  VersionId version;
  std::vector<float> weights;                      // flat, in ParameterLayout's order
  std::optional<proto::RemoteConfig> remote = {};  // a remote model; the rest is not used
};

struct OfflineRun {
  proto::Config config;  // environment, rollout.max_batch, max_plan_tokens and max_step_tokens count
  const Environment* environment = nullptr;
  std::map<std::string, RoleBinding> roles;  // "planner" and "executor"
  proto::Split split = proto::HELD_OUT;
  uint64_t episodes = 0;  // of the tasks 0, 1, 2, ... of the split
  float temperature = 1;  // 0 is greedy
  uint64_t seed = 0;
};

// Plays one episode of each task and hands them over in the tasks' order. Each carries the measures of an evaluation;
// the first twenty carry text. The same arguments give the same episodes, whatever the batch. Errors name the role.
absl::Status PlayEpisodes(const OfflineRun& run, const DecoderFactory& factory,
                          const std::function<void(proto::Episode)>& on_episode);

}  // namespace tandem
