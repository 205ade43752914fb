// One clock for all waiting and all lag: real, or virtual and deterministic.
#pragma once

#include <chrono>

namespace tandem {

// Seconds since the clock's own beginning. Thread-compatible.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual double Now() const = 0;
};

// Steady; starts at `offset` (a resumed run's clock goes on where it stopped).
class RealClock final : public Clock {
 public:
  explicit RealClock(double offset = 0) : start_(std::chrono::steady_clock::now()), offset_(offset) {}
  double Now() const override {
    return offset_ + std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

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
