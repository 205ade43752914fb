// How much of the wall time generation and training went on at the same time.
#pragma once

#include "proto/metrics.pb.h"

namespace tandem {

// Between Start and Stop it adds up the time in each state; Update says what holds from `now` on. `now` never goes
// back. Thread-compatible.
class Overlap {
 public:
  void Start(double now, bool generating, bool training);
  // generating: a worker plays a training ticket; training: a trainer works on a batch.
  void Update(double now, bool generating, bool training);
  void Stop(double now);

  proto::OverlapMetrics Metrics() const;

 private:
  void AddUp(double now);

  bool running_ = false;
  bool generating_ = false;
  bool training_ = false;
  double since_ = 0;
  double wall_s_ = 0, generating_s_ = 0, training_s_ = 0, both_s_ = 0;
};

}  // namespace tandem
