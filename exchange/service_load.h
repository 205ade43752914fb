// How busy the exchange's process is, and what others wait for.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "base/clock.h"
#include "proto/metrics.pb.h"

namespace tandem {

// Adds up an interval. Thread-compatible.
class ServiceLoad {
 public:
  explicit ServiceLoad(const Clock& clock)
      : clock_(clock), began_s_(clock.Now()), last_s_(began_s_), cpu_s_(clock.CpuSeconds()) {}

  // Nobody said anything from `from` to `to`; workers with room waited for a ticket because of these policies' gates.
  void Waited(double from, double to, const std::set<std::string>& held_up_by) {
    idle_s_ += to - from;
    for (const std::string& policy : held_up_by) held_up_s_[policy] += to - last_s_;
    last_s_ = to;
  }
  void Called() { ++calls_; }

  // Of the interval that ends now, and begins a new one.
  proto::ExchangeMetrics Take(double now, size_t tickets_waited_for) {
    proto::ExchangeMetrics line;
    const double interval_s = now - std::exchange(began_s_, now), cpu_s = clock_.CpuSeconds();
    line.set_interval_s(interval_s);
    line.set_cpu_s(cpu_s - std::exchange(cpu_s_, cpu_s));
    line.set_calls(std::exchange(calls_, 0));
    line.set_tickets_waited_for(static_cast<uint32_t>(tickets_waited_for));
    if (interval_s > 0) line.set_idle_share(std::exchange(idle_s_, 0) / interval_s);
    for (const auto& [policy, seconds] : std::exchange(held_up_s_, {})) {
      if (interval_s > 0) (*line.mutable_held_up_share())[policy] = seconds / interval_s;
    }
    return line;
  }

 private:
  const Clock& clock_;
  double began_s_, last_s_, cpu_s_, idle_s_ = 0;
  uint32_t calls_ = 0;
  std::map<std::string, double> held_up_s_;
};

}  // namespace tandem
