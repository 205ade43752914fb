// How another system decides which groups are started and which are trained on: in place of the exchange's gate and
// batcher, to be compared with them (study/simulation/rival_run.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem {

struct RuleOptions {
  uint32_t bound = 0;
  uint32_t groups_per_step = 1;
};

// Groups are numbered in the order in which they are started, from 0; versions as ours are. The trainer takes one batch
// after the other: the one that is taken k-th, from 0, is trained on by the step from version k. Not thread-safe.
class AdmissionRule {
 public:
  using Groups = std::vector<uint64_t>;

  virtual ~AdmissionRule() = default;

  // Whether another group may be started, when there is a free place to play it.
  virtual bool Admits() const = 0;
  // A group is started with `version`, or has been played to its end.
  virtual void Started(uint64_t group, int64_t version) = 0;
  virtual void Finished(uint64_t group) = 0;
  // The trainer is free: the batch that it trains on, once there is one.
  virtual std::optional<Groups> TakeBatch() = 0;
  // Workers generate with `version` from now on. Returns the groups being played that are cancelled.
  virtual Groups Installed(int64_t version) = 0;
  // Groups that were played to their end, and left out since the last call.
  virtual Groups TakeLeftOut() { return {}; }
};

// kInvalidArgument: there is no rule of that name; says which there are.
absl::StatusOr<std::unique_ptr<AdmissionRule>> MakeAdmissionRule(const std::string& name, const RuleOptions& options);

}  // namespace tandem
