// Where a run stands, added up from the lines of its metrics.jsonl.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "proto/config.pb.h"

namespace tandem {

enum class RunStage { kStarting, kWarmStart, kFirstEvaluation, kTraining, kFinalEvaluation, kFinished };
const char* StageText(RunStage stage);  // "warm start", "training", ...

struct PolicyProgress {
  std::string name;
  uint32_t sft_step = 0;
  uint32_t step = 0;
  uint32_t version = 0;
  double loss = 0;
  double tokens_per_s = 0;  // trained
  double wait_share = 0;
  double staleness_mean = 0;
  uint32_t staleness_max = 0;
  uint32_t staleness_bound = 0;
  uint32_t in_flight = 0;  // groups' units (episode, policy) that are being played
  uint32_t buffered = 0;   // that wait to be trained on
  uint32_t rejected = 0;
  std::deque<double> rewards;                      // of the last steps
  std::deque<std::pair<double, uint32_t>> recent;  // (time_s, step): for the time left
  double stale_tokens = 0, tokens = 0;             // staleness summed over all tokens, and their number
  uint32_t stalest = 0;

  double reward() const;  // moving average
};

struct EvaluationResult {
  double success = 0, plan_valid = 0, plan_right = 0, executor_step_accuracy = 0, temperature = 0;
  uint32_t episodes = 0;
};

class Progress {
 public:
  explicit Progress(const proto::Config& config);

  // One line of metrics.jsonl; kinds that are not known are passed over, and fields that are missing count as 0.
  void Add(const nlohmann::json& line);

  RunStage stage() const;
  const std::vector<PolicyProgress>& policies() const { return policies_; }
  double time_s() const { return time_s_; }
  bool virtual_clock() const { return virtual_clock_; }  // whether time_s is virtual
  uint32_t sft_steps() const { return sft_steps_; }
  uint32_t train_steps() const { return train_steps_; }
  uint32_t stage_steps() const;                         // of the stage in which the run is, of each policy
  uint32_t StepOf(const PolicyProgress& policy) const;  // in that stage
  std::optional<double> seconds_left() const;           // of the stage; nullopt while nobody knows
  double generated_per_s() const;
  double rollout_wait_share() const;  // mean over workers
  size_t workers() const { return rollout_.size(); }
  std::optional<EvaluationResult> evaluation(const std::string& stage) const;
  std::optional<double> overlap() const { return overlap_; }

 private:
  struct Rollout {
    double tokens_per_s, wait_share;
  };
  PolicyProgress* Find(const nlohmann::json& line);
  bool AllAt(uint32_t PolicyProgress::*step, uint32_t target) const;

  uint32_t sft_steps_, train_steps_;
  bool evaluates_, virtual_clock_;
  std::vector<PolicyProgress> policies_;
  std::map<std::string, Rollout> rollout_;  // by worker
  std::map<std::string, EvaluationResult> evaluations_;
  std::optional<double> overlap_;
  double time_s_ = 0;
};

}  // namespace tandem
