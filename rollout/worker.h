// A rollout worker: plays tickets without a pause, with the newest weights that it can get.
#pragma once

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "exchange/link.h"
#include "proto/config.pb.h"
#include "proto/wire/network.h"
#include "rollout/cast.h"

namespace tandem {

struct WorkerRun {
  proto::Config config;
  std::string config_folder;  // what a relative path of environment.tasks starts from
  std::string name;           // "worker-0"
  std::string endpoint;
  std::string build;
  std::string config_digest;
};

// Returns when the run is finished, or `stop` is set. One thread: the engines' steps, and between them what the
// exchange says. Waits for nothing but the exchange, and only when it has nothing to play. Errors name the key, the
// endpoint or the ticket.
absl::Status RunWorker(const WorkerRun& run, wire::Network& network, DecoderFactory factory,
                       const std::atomic<bool>& stop);

// The same over a link that stands, with a cast that was made for the run and the run's clock.
absl::Status WorkOverLink(const WorkerRun& run, WorkerLink& link, Cast& cast, const Clock& clock,
                          const std::atomic<bool>& stop);

}  // namespace tandem
