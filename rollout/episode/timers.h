// Programs that wait for a time to come: tools that take theirs.
#pragma once

#include <coroutine>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "base/clock.h"

namespace tandem {

// Nothing fires by itself: whoever drives the programs calls FireDue. Not thread-safe; outlives the programs that wait.
class Timers {
 public:
  explicit Timers(const Clock& clock) : clock_(clock) {}
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  // co_await Timers::Sleep(timers, seconds). Without timers it takes no time. A program may be dropped while it sleeps.
  class Sleep {
   public:
    Sleep(Timers* timers, double seconds) : timers_(timers), seconds_(seconds) {}
    Sleep(const Sleep&) = delete;
    Sleep& operator=(const Sleep&) = delete;
    ~Sleep() {
      if (key_) timers_->waiting_.erase(*key_);
    }
    bool await_ready() const { return timers_ == nullptr || seconds_ <= 0; }
    void await_suspend(std::coroutine_handle<> sleeper) {
      key_ = {timers_->clock_.Now() + seconds_, timers_->next_number_++};
      timers_->waiting_[*key_] = sleeper;
    }
    void await_resume() const {}

   private:
    Timers* timers_;
    double seconds_;
    std::optional<std::pair<double, uint64_t>> key_;
  };

  // Resumes those whose time has come, in its order. They may sleep again.
  void FireDue() {
    const double now = clock_.Now();
    while (!waiting_.empty() && waiting_.begin()->first.first <= now) {
      const std::coroutine_handle<> sleeper = waiting_.begin()->second;
      waiting_.erase(waiting_.begin());
      sleeper.resume();
    }
  }

  // Seconds until the next one is due, 0 when it is; nullopt: nobody sleeps.
  std::optional<double> NextIn() const {
    if (waiting_.empty()) return std::nullopt;
    const double seconds = waiting_.begin()->first.first - clock_.Now();
    return seconds > 0 ? seconds : 0;
  }

 private:
  const Clock& clock_;
  uint64_t next_number_ = 0;
  std::map<std::pair<double, uint64_t>, std::coroutine_handle<>> waiting_;  // by time, then order of arrival
};

}  // namespace tandem
