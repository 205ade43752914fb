// What a bound on staleness must cost, whatever the scheduler.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>

#include "base/random.h"

namespace tandem {

struct LimitInputs {
  uint32_t bound = 0;
  uint32_t groups_per_step = 1;
  double longest_s = 0;  // of a group
  double step_s = 0;     // training
  double publish_s = 0;  // from the end of a step until workers generate with its version
};

// Groups per second at most. When the oldest token counts, the longest group may be outlived by `bound` steps and be
// consumed by the next: bound + 1 steps while it runs, is trained on and the version that begins the next one is
// published.
inline double StalenessLimit(const LimitInputs& in) {
  return (in.bound + 1.0) * in.groups_per_step / (in.longest_s + in.step_s + in.publish_s);
}

// Mean duration of the longest of so many groups.
inline double MeanLongest(const std::function<double(RandomStream&)>& duration_s, uint32_t groups, uint64_t seed) {
  constexpr int kBatches = 1000;
  RandomStream random(seed);
  double sum = 0;
  for (int batch = 0; batch < kBatches; ++batch) {
    double longest = 0;
    for (uint32_t i = 0; i < groups; ++i) longest = std::max(longest, duration_s(random));
    sum += longest;
  }
  return sum / kBatches;
}

// Lognormal with this median, cut off at `cap` medians.
inline std::function<double(RandomStream&)> LogNormalDuration(double median_s, double sigma, double cap) {
  return [=](RandomStream& random) {
    const double normal = std::sqrt(-2 * std::log(1 - random.Uniform())) * std::cos(2 * M_PI * random.Uniform());
    return median_s * std::min(cap, std::exp(sigma * normal));
  };
}

}  // namespace tandem
