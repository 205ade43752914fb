// One child process.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "launch/supervisor.h"

namespace tandem {

// Starts it, its output appended to `log`. It dies with us (PR_SET_PDEATHSIG) and ignores the terminal's Ctrl-C, which
// is ours to pass on.
absl::StatusOr<pid_t> StartChild(const ChildSpec& spec, const std::string& log);

// "exit status 3", "signal 9 (Killed)": of waitpid's status.
std::string StatusText(int status);

// The last `lines` lines of a log, for an error; "" when there are none.
std::string LastLines(const std::string& log, int lines);

}  // namespace tandem
