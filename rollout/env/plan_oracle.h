// Judges a plan by itself, whatever the executor made of it.
#pragma once

#include "rollout/env/environment.h"
#include "rollout/plan/plan.h"

namespace tandem {

// Whether a plan without a fault, carried out by the scripted executor, gives an answer that earns the full reward.
bool PlanIsRight(const Plan& plan, const Environment& environment, const Task& task);

}  // namespace tandem
