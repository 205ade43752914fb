// What an endpoint's string may be: inproc://NAME, ipc://PATH or tcp://HOST:PORT. (AnnounceEndpoint is in client.h.)
#pragma once

#include <string>

#include "absl/status/status.h"

namespace tandem::wire {

// kInvalidArgument names the endpoint and what is expected. PORT may be "*" where `may_choose_port`.
absl::Status CheckEndpoint(const std::string& endpoint, bool may_choose_port);

// kAlreadyExists when somebody listens at an ipc endpoint, or its path is a file that is no socket: ZeroMQ would remove
// it and take the place. A socket that a killed process has left behind is no obstacle. OK for other endpoints.
absl::Status CheckIpcFree(const std::string& endpoint);

}  // namespace tandem::wire
