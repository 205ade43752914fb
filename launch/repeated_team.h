// All policies of a run that is repeated: trainers and engines in one process, on the CPU.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "launch/journal_walk.h"
#include "launch/preflight.h"
#include "launch/repeated_policy.h"
#include "rollout/cast.h"

namespace tandem {

// Movable; not thread-safe.
class RepeatedTeam {
 public:
  // In the state in which the run began, with engines that keep as many versions as its groups name. `config`, `exact`:
  // as in RepeatedPolicy::Open.
  static absl::StatusOr<RepeatedTeam> Open(const JournaledRun& run, const proto::Config& config, bool exact);

  RepeatedPolicy& policy(const std::string& name) { return *policies_.at(name); }
  std::map<std::string, std::unique_ptr<RepeatedPolicy>>& policies() { return policies_; }
  Cast& cast() { return *cast_; }

  // Repeats the step, and gives its version to the policy's engine. True: there is a new version.
  absl::StatusOr<bool> Commit(const std::string& name, const proto::WeightsCommit& commit);

  std::vector<wire::Frame> WeightsOf(const std::string& name) const {
    return {wire::MakeFrame(policies_.at(name)->weights())};
  }
  uint64_t steps() const;

 private:
  RepeatedTeam() = default;

  std::unique_ptr<RealClock> clock_ = std::make_unique<RealClock>();  // these three outlive the cast
  std::unique_ptr<LoadedConfig> loaded_;
  std::unique_ptr<Environment> environment_;
  std::unique_ptr<Cast> cast_;
  std::map<std::string, std::unique_ptr<RepeatedPolicy>> policies_;
};

}  // namespace tandem
