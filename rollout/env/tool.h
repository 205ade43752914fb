// A tool that takes its time (environment.tool).
#pragma once

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "proto/config.pb.h"

namespace tandem {

// Seconds that a call takes; the same for the same key. Pareto from least_ms on, cut off at most_ms.
inline double ToolSeconds(const proto::ToolConfig& tool, uint64_t key) {
  RandomStream random(key);
  const double ms = tool.least_ms() * std::pow(1 - random.Uniform(), -1 / tool.alpha());
  return 1e-3 * std::min(ms, tool.most_ms());
}

}  // namespace tandem
