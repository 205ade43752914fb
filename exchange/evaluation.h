// Adds up what episodes of an evaluation measured.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "proto/message.pb.h"
#include "proto/metrics.pb.h"

namespace tandem {

// Episode.measures: success, plan_valid, plan_right (0 or 1, averaged over episodes), steps_executed and steps_right
// (counts; their ratio is the executor's step accuracy), tokens.<role> (counts, averaged over episodes).
// Thread-compatible.
class Evaluation {
 public:
  // `stage`: "after_sft", "final", ...
  Evaluation(std::string stage, double temperature) : stage_(std::move(stage)), temperature_(temperature) {}

  void Add(const proto::Episode& episode);
  uint32_t episodes() const { return episodes_; }

  // Means are 0 without episodes; so is the step accuracy when no step was executed.
  proto::EvalMetrics Metrics() const;

 private:
  std::string stage_;
  double temperature_;
  uint32_t episodes_ = 0;
  std::map<std::string, double> sums_;  // by the measure's name
};

}  // namespace tandem
