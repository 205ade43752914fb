#include "exchange/evaluation.h"

#include <string_view>

namespace tandem {

void Evaluation::Add(const proto::Episode& episode) {
  ++episodes_;
  for (const proto::NamedValue& measure : episode.measures()) sums_[measure.name()] += measure.value();
}

proto::EvalMetrics Evaluation::Metrics() const {
  constexpr std::string_view kTokens = "tokens.";
  const auto sum = [this](const std::string& name) {
    const auto it = sums_.find(name);
    return it == sums_.end() ? 0.0 : it->second;
  };
  const auto ratio = [](double a, double b) { return b > 0 ? a / b : 0.0; };
  proto::EvalMetrics m;
  m.set_stage(stage_);
  m.set_temperature(temperature_);
  m.set_episodes(episodes_);
  m.set_success(ratio(sum("success"), episodes_));
  m.set_plan_valid(ratio(sum("plan_valid"), episodes_));
  m.set_plan_right(ratio(sum("plan_right"), episodes_));
  m.set_executor_step_accuracy(ratio(sum("steps_right"), sum("steps_executed")));
  for (const auto& [name, value] : sums_) {
    if (!name.starts_with(kTokens)) continue;
    (*m.mutable_tokens())[name.substr(kTokens.size())] = ratio(value, episodes_);
  }
  return m;
}

}  // namespace tandem
