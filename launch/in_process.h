// A run whose parts are threads of this process: over inproc endpoints for debuggers and sanitizers, or one after the
// other in virtual time.
#pragma once

#include "absl/status/statusor.h"
#include "launch/run_setup.h"
#include "launch/supervisor.h"

namespace tandem {

// Like Supervise, with threads in place of processes; `options`: log_folder and restarts do not count. Threads cannot
// be killed: when some do not leave in time (kDeadlineExceeded names them), or at a second interrupt (kCancelled), they
// are left behind, and the process should end with _Exit.
absl::StatusOr<RunOutcome> RunInProcess(const RunSetup& setup, const SupervisorOptions& options);

}  // namespace tandem
