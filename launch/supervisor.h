// Keeps the processes of a run: starts them, starts lost workers again, ends them all, in order and in time.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"

namespace tandem {

struct ChildSpec {
  enum Kind { kExchange, kTrainer, kWorker };
  Kind kind = kWorker;
  std::string name;                                           // "worker-0": in messages, and of its log
  std::string executable;                                     // its path
  std::vector<std::string> argv;                              // as `ps` shows it; argv[0] is the program's name
  std::function<std::vector<std::string>()> argv_again = {};  // when it is started again; empty: argv
  std::string team = {};  // of trainers: when one is killed, all of the same team are started again
  std::map<std::string, std::string> environment;  // on top of ours
};

struct SupervisorOptions {
  std::string log_folder;  // standard output and error of a child are appended to <log_folder>/<name>.log
  int restarts = 5;        // of each child; one that lived for restart_forget_s begins to count anew
  double restart_forget_s = 300;
  double leave_s = 2;          // how long workers may take when the exchange has ended: they hold nothing that counts
  double end_s = 60;           // how long the others may take when the exchange has ended by itself
  double stop_s = 60;          // how long a clean stop may take
  double term_s = 10;          // between SIGTERM to all and SIGKILL
  std::function<void()> tick;  // called at least every tick_s from the supervising thread; may be empty
  double tick_s = 0.1;
  std::function<void(const std::string&)> say;  // events for people, one line each; may be empty
};

enum class RunOutcome { kFinished, kStopped };

// Runs the children until all have ended, and returns how the run ended. Blocks; the calling thread has to be the one
// that lives longest (children die with it: PR_SET_PDEATHSIG) and BlockSignals() has to be in force.
//   The exchange ends with status 0: the run is finished. Workers are told to leave and killed after leave_s; trainers
//   have end_s for their last checkpoints. SIGINT, SIGTERM: the exchange is told to stop, and tells the others to write
//   their checkpoints and leave (kStopped). A second one: all are killed at once, kCancelled. A worker dies, or
//   the exchange or a trainer is killed by a signal: it is started again, `restarts` times at most, a trainer with its
//   team. The exchange or a trainer ends with an error of its own: the others are ended; kAborted, with the last lines
//   of its log.
// Children that have not ended in time are named, get SIGTERM, and after term_s SIGKILL: kDeadlineExceeded. An exchange
// that is the last of a failed run is killed at once: those whom it waits for will not come.
// No child is left when it returns.
absl::StatusOr<RunOutcome> Supervise(const std::vector<ChildSpec>& children, const SupervisorOptions& options);

}  // namespace tandem
