// The clock of benchmarks of one thread.
#pragma once

#include <time.h>

#include <algorithm>
#include <vector>

namespace tandem {

// Seconds that this thread has computed. On a busy machine it tells more than the time on the wall.
inline double CpuTime() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

inline double Median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + values.size() / 2);
  return values[values.size() / 2];
}

}  // namespace tandem
