// Peers of an exchange that compute nothing: sessions of workers, many of them on one thread, and trainers.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "exchange/link.h"
#include "tests/bench/synthetic_group.h"

namespace zmq {
class context_t;
}

namespace tandem {

inline constexpr char kBuild[] = "bench", kConfigDigest[] = "bench";

// `name` also seeds how long groups take; `policy`: of a trainer.
absl::StatusOr<std::unique_ptr<wire::Client>> ConnectPeer(zmq::context_t& context, const std::string& endpoint,
                                                          proto::PeerKind kind, const std::string& name,
                                                          const std::string& policy);

struct Sessions {
  std::string endpoint;
  uint32_t first = 0, count = 0;  // workers of these numbers
  double group_s = 0;             // how long a session takes for a group: uniform up to twice this; 0: no time at all
};

// Each session holds one ticket at a time, installs the versions that it asks for and submits its group. Blocks until
// the exchange says that the run is over. Counts in: sessions that have joined; groups that were accepted.
absl::Status PlaySessions(const Sessions& sessions, const SyntheticGroup& group, std::atomic<uint64_t>* joined,
                          std::atomic<uint64_t>* accepted);

// Takes batches of a policy and publishes the next version at once, until the run is over.
absl::Status TrainNothing(const std::string& endpoint, const std::string& policy, size_t weight_bytes);

}  // namespace tandem
