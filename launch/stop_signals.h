// SIGINT and SIGTERM as values. They are blocked in every thread and taken by one that waits for them, so that no
// system call anywhere is interrupted.
#pragma once

#include <signal.h>

#include <atomic>
#include <memory>
#include <thread>

namespace tandem {

// Blocks SIGINT, SIGTERM and SIGCHLD in this thread, and in the threads it starts from now on.
void BlockSignals();

// Unblocks them again: in a child, between fork and exec.
void UnblockSignals();

// Waits for one of the blocked signals; 0 after timeout_s.
int WaitForSignal(double timeout_s);

// For a process that does one blocking thing: while this lives, SIGTERM (and SIGINT, unless whoever started the process
// had it ignored) sets stop().
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  const std::atomic<bool>& stop() const { return stop_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

}  // namespace tandem
