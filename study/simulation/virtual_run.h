// A run in virtual time: the real exchange, with workers that only wait and trainers that only wait. It tells what a
// bound, a number of workers or a training time cost, before anybody pays for it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/random.h"
#include "proto/config.pb.h"
#include "study/simulation/workload.h"

namespace tandem {

struct VirtualRunOptions {
  // Of it count: policies with their staleness, train.steps, train.groups_per_step, rollout.groups_in_play, seed.
  proto::Config config;
  uint32_t workers = 1;
  // How long one group takes from its start to its end, when its worker plays as many as it may.
  std::function<double(RandomStream&)> group_s = {};
  std::map<std::string, double> step_s = {};  // by policy: of a training step
  double publish_s = 0;                       // from the end of a step until workers generate with its version
  double warm_up_share = 0.2;                 // of the steps, that is not measured
  // In place of group_s, step_s and publish_s: work, which takes the longer the more there is to do for the cores.
  std::optional<Workload> work = std::nullopt;
  double cores = std::numeric_limits<double>::infinity();
};

// Groups that a policy's batches went without: by reason, how long each was played; 0 of one that did not come to its
// end.
using Rejections = std::map<std::string, std::vector<double>>;

// What one policy's part of the run looked like, over the measured time.
struct VirtualLane {
  double training_share = 0;           // of the time in which its trainer takes a step
  double held_up_share = 0;            // ... in which workers that have room get no ticket because of its gate
  double buffered = 0;                 // mean number of groups that have arrived and wait for their batch
  std::vector<double> age_share = {};  // of its tokens trained on, by age
  double over_bound_share = 0;         // of its tokens that arrived in time to be trained on, but were not
  Rejections rejected = {};            // over the whole run
};

struct VirtualRun {
  double seconds = 0;          // measured, virtual
  double groups_per_s = 0;     // trained on, by the slowest policy
  double in_play = 0;          // mean number of groups being played
  double contended_share = 0;  // of the time in which there is more to compute than there are cores
  double exchange_share = 0;   // ... in which the exchange computes
  uint64_t issued = 0;         // tickets, over the whole run
  double played_s = 0;         // of all groups together, over the whole run
  std::map<std::string, VirtualLane> lanes = {};
};

// Runs to the end of config.train().steps. Deterministic: the same options give the same result. kDeadlineExceeded: it
// stands still, with what is waited for. kFailedPrecondition: there are too few steps to measure anything.
absl::StatusOr<VirtualRun> RunVirtually(const VirtualRunOptions& options);

// The work of groups and steps that take a given time, whatever else there is to do.
Workload GivenLatencies(const VirtualRunOptions& options);

}  // namespace tandem
