// Threads that take turns in virtual time: one runs while all others wait for a time to come, and the time is always
// that of the one that runs. What they do together depends on nothing but what they do: not on cores, not on speed.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.h"

namespace tandem {

// Thread-safe. Outlives its threads.
class VirtualTime {
 public:
  // So many threads, numbered from 0, will Enter.
  explicit VirtualTime(size_t threads);
  VirtualTime(const VirtualTime&) = delete;
  VirtualTime& operator=(const VirtualTime&) = delete;

  // Blocks until all threads have entered and it is this one's turn; the lowest number's comes first.
  void Enter(size_t thread);
  // The others go on without it. It may not wait any more.
  void Leave();

  double now() const;
  // The number of the thread that runs, which is the caller.
  size_t current() const;

  // Lets the others run until `until`, or until Wake if that is earlier; whoever's time came first goes first. `until`
  // is finite: who waits for what never comes must find out.
  void Wait(double until);
  // A thread that waits goes on at `at`, which is not past, if not before. Nothing happens to the caller itself.
  void Wake(size_t thread, double at);

  // A clock that shows `offset` now.
  std::unique_ptr<Clock> MakeClock(double offset);

 private:
  static constexpr double kNever = std::numeric_limits<double>::infinity();
  struct Thread {
    double due = kNever;
    uint64_t order = 0;  // among those that are due at the same time
    std::condition_variable turn;
  };

  // These three need the mutex. Hands over to whoever is due first.
  void PassOn();
  void SetDue(Thread* thread, double due);
  void AwaitTurn(std::unique_lock<std::mutex>& lock, size_t thread);

  mutable std::mutex mutex_;  // of all below; the standard's, which the thread sanitizer knows
  std::vector<std::unique_ptr<Thread>> threads_;
  size_t entered_ = 0;
  size_t running_;
  double now_ = 0;
  uint64_t next_order_ = 0;
};

}  // namespace tandem
