#include "launch/progress.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "launch/config.h"
#include "launch/metrics_tail.h"

namespace tandem {
namespace {

constexpr size_t kRewardWindow = 10;  // steps
constexpr size_t kPaceWindow = 16;    // steps

double Number(const nlohmann::json& line, const char* key) {
  const auto at = line.find(key);
  return at != line.end() && at->is_number() ? at->get<double>() : 0;
}

uint32_t Count(const nlohmann::json& line, const char* key) { return static_cast<uint32_t>(Number(line, key)); }

void AddStep(const nlohmann::json& line, double time_s, uint32_t* step, PolicyProgress* policy) {
  *step = Count(line, "step");
  policy->loss = Number(line, "loss");
  policy->tokens_per_s = Number(line, "tokens_per_s");
  policy->wait_share = Number(line, "wait_share");
  // Another stage, or a resumed run: the pace is measured anew.
  if (!policy->recent.empty() && policy->recent.back().second >= *step) policy->recent.clear();
  policy->recent.emplace_back(time_s, *step);
  if (policy->recent.size() > kPaceWindow) policy->recent.pop_front();
}

}  // namespace

const char* StageText(RunStage stage) {
  switch (stage) {
    case RunStage::kStarting:
      return "starting";
    case RunStage::kWarmStart:
      return "warm start";
    case RunStage::kFirstEvaluation:
      return "evaluation after the warm start";
    case RunStage::kTraining:
      return "training";
    case RunStage::kFinalEvaluation:
      return "final evaluation";
    case RunStage::kFinished:
      break;
  }
  return "finished";
}

double PolicyProgress::reward() const {
  double sum = 0;
  for (const double reward : rewards) sum += reward;
  return rewards.empty() ? 0 : sum / static_cast<double>(rewards.size());
}

Progress::Progress(const proto::Config& config)
    : sft_steps_(config.sft().steps()),
      train_steps_(config.train().steps()),
      evaluates_(config.evaluation().episodes() > 0),
      virtual_clock_(config.clock() == proto::VIRTUAL) {
  for (const std::string& name : PolicyNames(config)) {
    PolicyProgress policy;
    policy.name = name;
    policy.staleness_bound = config.policies().at(name).staleness().bound();
    policies_.push_back(std::move(policy));
  }
}

PolicyProgress* Progress::Find(const nlohmann::json& line) {
  const std::string name = TextOf(line, "policy");
  const auto at = std::find_if(policies_.begin(), policies_.end(), [&](const auto& p) { return p.name == name; });
  return at == policies_.end() ? nullptr : &*at;
}

void Progress::Add(const nlohmann::json& line) {
  const std::string kind = TextOf(line, "kind");
  time_s_ = std::max(time_s_, Number(line, "time_s"));
  PolicyProgress* policy = Find(line);
  if (kind == "sft" && policy != nullptr) {
    AddStep(line, time_s_, &policy->sft_step, policy);
  } else if (kind == "step" && policy != nullptr) {
    AddStep(line, time_s_, &policy->step, policy);
    policy->version = Count(line, "version");
    policy->staleness_mean = Number(line, "staleness_mean");
    policy->staleness_max = Count(line, "staleness_max");
    policy->stalest = std::max(policy->stalest, policy->staleness_max);
    policy->tokens += Number(line, "tokens_trained");
    policy->stale_tokens += Number(line, "tokens_trained") * policy->staleness_mean;
    policy->rewards.push_back(Number(line, "reward_mean"));
    if (policy->rewards.size() > kRewardWindow) policy->rewards.pop_front();
  } else if (kind == "ledger" && policy != nullptr) {
    policy->in_flight = Count(line, "in_flight");
    policy->buffered = Count(line, "buffered");
    policy->rejected = Count(line, "rejected");
  } else if (kind == "rollout") {
    rollout_[TextOf(line, "worker")] = {Number(line, "tokens_per_s"), Number(line, "wait_share")};
  } else if (kind == "eval") {
    evaluations_[TextOf(line, "stage")] = {
        .success = Number(line, "success"),
        .plan_valid = Number(line, "plan_valid"),
        .plan_right = Number(line, "plan_right"),
        .executor_step_accuracy = Number(line, "executor_step_accuracy"),
        .temperature = Number(line, "temperature"),
        .episodes = Count(line, "episodes"),
    };
  } else if (kind == "overlap") {
    overlap_ = Number(line, "share");
  }
}

bool Progress::AllAt(uint32_t PolicyProgress::*step, uint32_t target) const {
  return std::all_of(policies_.begin(), policies_.end(), [&](const auto& p) { return p.*step >= target; });
}

RunStage Progress::stage() const {
  const bool trained = std::any_of(policies_.begin(), policies_.end(), [](const auto& p) { return p.step > 0; });
  if (AllAt(&PolicyProgress::step, train_steps_)) {
    if (train_steps_ > 0) return evaluates_ && !evaluation("final") ? RunStage::kFinalEvaluation : RunStage::kFinished;
    if (evaluation("final") || (evaluation("after_sft") && train_steps_ == 0)) return RunStage::kFinished;
  }
  if (trained || evaluation("after_sft")) return RunStage::kTraining;
  if (AllAt(&PolicyProgress::sft_step, sft_steps_))
    return evaluates_ ? RunStage::kFirstEvaluation : RunStage::kTraining;
  const bool begun = std::any_of(policies_.begin(), policies_.end(), [](const auto& p) { return p.sft_step > 0; });
  return begun ? RunStage::kWarmStart : RunStage::kStarting;
}

uint32_t Progress::stage_steps() const {
  const RunStage now = stage();
  return now == RunStage::kStarting || now == RunStage::kWarmStart || now == RunStage::kFirstEvaluation ? sft_steps_
                                                                                                        : train_steps_;
}

uint32_t Progress::StepOf(const PolicyProgress& policy) const {
  const RunStage now = stage();
  return now == RunStage::kStarting || now == RunStage::kWarmStart || now == RunStage::kFirstEvaluation
             ? policy.sft_step
             : policy.step;
}

std::optional<double> Progress::seconds_left() const {
  if (stage() != RunStage::kWarmStart && stage() != RunStage::kTraining) return std::nullopt;
  double left = 0;
  for (const PolicyProgress& policy : policies_) {
    const uint32_t step = StepOf(policy);
    if (step >= stage_steps()) continue;
    if (policy.recent.size() < 2 || policy.recent.back().second != step) return std::nullopt;
    const auto& [from_s, from_step] = policy.recent.front();
    const auto& [to_s, to_step] = policy.recent.back();
    left = std::max(left, (to_s - from_s) / (to_step - from_step) * (stage_steps() - step));
  }
  return left;
}

double Progress::generated_per_s() const {
  double sum = 0;
  for (const auto& [worker, rollout] : rollout_) sum += rollout.tokens_per_s;
  return sum;
}

double Progress::rollout_wait_share() const {
  double sum = 0;
  for (const auto& [worker, rollout] : rollout_) sum += rollout.wait_share;
  return rollout_.empty() ? 0 : sum / static_cast<double>(rollout_.size());
}

std::optional<EvaluationResult> Progress::evaluation(const std::string& stage) const {
  const auto at = evaluations_.find(stage);
  if (at == evaluations_.end()) return std::nullopt;
  return at->second;
}

}  // namespace tandem
