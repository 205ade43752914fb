// A rollout worker in virtual time, which plays groups at the same time.
//
// It goes from round to round (a round is a decode step of all live turns), and a round costs the more the more turns
// are live. So the groups that it plays share its speed: all of them come forward by the same number of rounds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "study/simulation/events.h"
#include "study/simulation/machine.h"
#include "study/simulation/workload.h"

namespace tandem {

// Not thread-safe; what it is given outlives it.
class VirtualWorker {
 public:
  VirtualWorker(Events* events, Machine* machine, const Workload* workload)
      : events_(*events), machine_(*machine), workload_(*workload) {}
  VirtualWorker(const VirtualWorker&) = delete;
  VirtualWorker& operator=(const VirtualWorker&) = delete;

  // Plays a group, then calls `done`. Returns its number, for Cancel.
  uint64_t Play(GroupWork work, std::function<void()> done);
  // Ends a group before its time; `done` is not called.
  void Cancel(uint64_t group);
  bool computes() const { return job_ != 0; }

 private:
  struct Playing {
    GroupWork work;
    std::function<void()> done;
    size_t leg = 0;
    double end = 0;  // in rounds_, of the leg that computes
  };

  // CPU seconds until every live turn has come a round forward.
  double RoundCost() const;
  void Pause();
  void GoOn();
  void BeginLeg(uint64_t group);
  void LegComputed(uint64_t group);
  void LegOver(uint64_t group);

  Events& events_;
  Machine& machine_;
  const Workload& workload_;
  uint64_t next_group_ = 0;
  std::map<uint64_t, Playing> playing_;
  std::set<std::pair<double, uint64_t>> order_;  // the groups that compute, by the end of their leg in rounds_
  double live_ = 0;                              // turns
  double rounds_ = 0;                            // that live turns have come forward since the start
  Machine::Job job_ = 0;                         // up to the first end in order_
  double job_cpu_s_ = 0;                         // of it, at its start
};

}  // namespace tandem
