// SIGINT, SIGTERM and SIGHUP as values. They are blocked in every thread and taken by one that waits for them, so that
// no system call anywhere is interrupted.
#pragma once

#include <signal.h>

#include <atomic>
#include <memory>
#include <thread>

namespace tandem {

// Ctrl-C, kill, or a terminal that was closed.
bool AsksToStop(int signal);

// Blocks SIGINT, SIGTERM, SIGHUP and SIGCHLD in this thread, and in the threads it starts from now on.
void BlockSignals();

// Unblocks them again: in a child, between fork and exec.
void UnblockSignals();

// Waits for one of the blocked signals that the process does not ignore; 0 after timeout_s, or earlier.
int WaitForSignal(double timeout_s);

// For a process that does one blocking thing: while this lives, a signal that asks to stop sets stop(), unless whoever
// started the process had it ignored.
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
