// What a run in virtual time looks like, over the time that is measured.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "study/simulation/virtual_run.h"
#include "study/simulation/virtual_team.h"

namespace tandem {

// Measured is from a share of the steps on, as long as there are tickets to issue, since at the end a run only empties
// its queues; but a quarter of the steps at least. Not thread-safe; listens to `team`, which outlives it.
class VirtualGauge {
 public:
  VirtualGauge(VirtualTeam* team, double warm_up_share);

  // The next `seconds` are as it is now.
  void AddUp(double seconds);
  VirtualRun Result();

 private:
  struct Count {
    std::vector<double> tokens = {};  // trained on, by age
    double over_bound = 0;            // ... and those that were not
    VirtualLane result = {};
  };

  void LookWhetherToMeasure();
  void CountAges(const proto::Batch& batch);

  VirtualTeam& team_;
  const double warm_up_share_;
  std::map<std::string, Count> lanes_;
  bool measuring_ = false, ended_ = false;
  uint32_t first_version_ = 0, last_version_ = 0;
  double began_s_ = 0, ended_s_ = 0;
  double began_contended_s_ = 0, ended_contended_s_ = 0;
  double in_play_ = 0, exchange_s_ = 0;
};

}  // namespace tandem
