// The cores that the processes of a run share, in virtual time: turns CPU seconds into events.
//
// Each thread that has something to compute gets the same share of the cores, and at most one core. So all of them are
// served at one rate, r = min(1, cores / threads), and when a job ends is known as soon as r is: with S(t), the
// integral of r, a job of w CPU seconds on k threads that starts at s ends when S = S(s) + w / k. Whoever starts or
// ends changes r for all, but no job's end in S: an event costs O(log jobs), whatever their number.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "study/simulation/events.h"

namespace tandem {

// Not thread-safe; `events` outlives it.
class Machine {
 public:
  using Job = uint64_t;  // 0 is none

  // `cores` above 0; infinity: everybody has a machine of its own.
  Machine(Events* events, double cores) : events_(*events), cores_(cores) {}
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Computes for `cpu_s` CPU seconds, equally on `threads` threads, then calls `done`.
  Job Start(double cpu_s, uint32_t threads, std::function<void()> done);
  // Ends a job before its time; `done` is not called. Returns the CPU seconds that it still had to go.
  double Stop(Job job);

  // Seconds, up to now, in which there was more to compute than there are cores.
  double contended_s();

 private:
  struct Running {
    double end;  // in S
    uint32_t threads;
    std::function<void()> done;
  };

  double rate() const;
  void Advance();
  void Schedule();
  void FinishFirst();

  Events& events_;
  const double cores_;
  double served_ = 0;  // S, at at_s_
  double at_s_ = 0;
  uint32_t threads_ = 0;  // that compute
  Job next_job_ = 1;
  std::map<Job, Running> running_;
  std::set<std::pair<double, Job>> order_;       // by end
  std::pair<Job, uint32_t> scheduled_ = {0, 0};  // what the event that is under way was made for: job and threads_
  uint64_t turn_ = 0;                            // of the newest event; older ones do nothing
  double contended_s_ = 0;
};

}  // namespace tandem
