// One clock for all waiting and all lag: real, or virtual and deterministic.
#pragma once

#include <chrono>

#include "base/cpu_time.h"

namespace tandem {

// Seconds since the clock's own beginning. Thread-compatible.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual double Now() const = 0;
  // What the caller has just done takes so long, by virtual clocks. By a real one it took as long as it did.
  virtual void Spend(double /*seconds*/) const {}
  // What this process has cost so far; virtual time costs nothing.
  virtual double CpuSeconds() const { return 0; }
};

// Steady; starts at `offset` (a resumed run's clock goes on where it stopped).
class RealClock final : public Clock {
 public:
  explicit RealClock(double offset = 0) : start_(std::chrono::steady_clock::now()), offset_(offset) {}
  double Now() const override {
    return offset_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  double CpuSeconds() const override { return ProcessCpuSeconds(); }

 private:
  std::chrono::steady_clock::time_point start_;
  double offset_;
};

// Moves only when told to.
class VirtualClock final : public Clock {
 public:
  double Now() const override { return now_; }
  void Advance(double seconds) { now_ += seconds; }
  void Set(double now) { now_ = now; }

 private:
  double now_ = 0;
};

}  // namespace tandem
