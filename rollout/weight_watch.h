// Which weights the engines have, and which there are.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "exchange/link.h"
#include "rollout/cast.h"

namespace tandem {

// Keeps the engines at the newest version that was heard of. Not thread-safe; `cast` and `link` outlive it.
class WeightWatch {
 public:
  WeightWatch(Cast* cast, WorkerLink* link) : cast_(cast), link_(link) {}

  // There is this version: an announcement, a grant or a ticket said so. Announcements may be lost, so that any of them
  // will do.
  void HeardOf(const std::string& policy, const proto::Version& version);

  // Asks for weights newer than the engines', where there are any that are not on their way.
  void Fetch();

  // Begins to install; live turns go on with the new weights a few steps later, without a pause. kInvalidArgument: not
  // the size of the policy's model.
  absl::Status Install(WeightsArrived weights, double now);

  // Takes note of the versions that are in force since; true: there were some.
  absl::StatusOr<bool> Settle(double now);

  // By policy, the mean time from a version's publishing to its installation here, over the versions that were
  // installed since the last call in place of an older one.
  std::map<std::string, double> TakePublishLags();

  uint32_t installed() const { return installed_; }  // versions, since the start

 private:
  struct Policy {
    bool heard = false;
    VersionId newest;
    bool fetching = false;
    bool installing = false;  // what was fetched is in the engine, but not in force yet
    bool replaces = false;    // an older version
    double published_s = 0;
    std::string bytes;  // of what is being installed: the engine packs from here
  };

  Cast* const cast_;
  WorkerLink* const link_;
  std::map<std::string, Policy> policies_;
  uint32_t installed_ = 0;
  std::map<std::string, std::pair<double, uint32_t>> lags_;  // sum and number
};

}  // namespace tandem
