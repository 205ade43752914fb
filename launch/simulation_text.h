// What `tandem simulate` prints.
#pragma once

#include <cstdint>
#include <string>

#include "study/simulation/fitted_work.h"
#include "study/simulation/rival_run.h"
#include "study/simulation/virtual_run.h"

namespace tandem {

struct Simulated {
  uint32_t bound = 0;    // the smallest of the policies
  double limit = 0;      // groups per second that no scheduler can beat under the bounds; 0: not known
  double unbounded = 0;  // ... that are reached without bounds; 0: not known
  VirtualRun run = {};
};

// Of tokens, weighted by the policies alike; shares of age 0, 1, ... add up to 1.
double MeanAge(const std::vector<double>& age_share);
double MeanAge(const VirtualRun& run);

// "training of planner", "the bound of executor", "the cores", "the exchange" or "generation".
std::string LimitedBy(const VirtualRun& run);

// What was fitted, and how a simulation of the run itself (`again`) comes out against what was measured.
std::string FittedText(const std::string& run, const FittedWork& fitted, const VirtualRun& again);
std::string FittedJson(const std::string& run, const FittedWork& fitted, const VirtualRun& again);
std::string SimulatedText(const Simulated& simulated);
std::string SimulatedJson(const Simulated& simulated);
// A line of the comparison of rules; the first is Tandem's own.
std::string RuleText(const Simulated& simulated);
std::string RuleText(const std::string& rule, const RivalRun& run);
std::string RuleJson(const std::string& rule, uint32_t bound, const RivalRun& run);

}  // namespace tandem
