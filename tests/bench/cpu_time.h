// The clock of benchmarks of one thread.
#pragma once

#include <sched.h>
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

// From now on this thread, and those that it starts, stay on the processor that they are on.
inline void PinThread() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(sched_getcpu(), &cpus);
  sched_setaffinity(0, sizeof cpus, &cpus);
}

inline double Median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + values.size() / 2);
  return values[values.size() / 2];
}

}  // namespace tandem
