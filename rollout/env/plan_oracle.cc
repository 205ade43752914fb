#include "rollout/env/plan_oracle.h"

#include <string>
#include <vector>

namespace tandem {

bool PlanIsRight(const Plan& plan, const Environment& environment, const Task& task) {
  if (plan.nodes.empty()) return false;
  std::vector<std::string> results(plan.nodes.size());
  std::vector<const std::string*> values(plan.nodes.size());
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    results[i] = environment.ScriptedStep(FillStep(plan, static_cast<int>(i), values), nullptr);
    if (!environment.ResultIsWellFormed(results[i])) return false;
    values[i] = &results[i];
  }
  return environment.Reward(task, results.back()) >= 1;
}

}  // namespace tandem
