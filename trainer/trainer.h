// A trainer process: one rank of one policy.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "proto/config.pb.h"
#include "proto/wire/network.h"

namespace tandem {

struct TrainerRun {
  proto::Config config;  // resolved
  std::string policy;
  uint32_t rank = 0;
  std::string alphabet;    // of the environment: what a policy that starts from nothing reads and writes
  std::string run_folder;  // checkpoints go to run_folder/checkpoints/<policy>/
  std::string endpoint;    // of the exchange
  std::string build;
  std::string config_digest;
  std::string resume_from;  // a checkpoint's folder, or empty
  std::string rendezvous;   // with ranks > 1: a file that is not there yet and that all ranks reach
};

// Learns until the warm start and all steps are done, or the exchange says that the run stops, or `stop` is set (looked
// at between steps); then writes a checkpoint and returns OK. Blocks. Errors name what was missing: the exchange, a
// rank, a device, a file of the checkpoint that is resumed from; kAborted after several non-finite steps in a row.
absl::Status RunTrainer(const TrainerRun& run, wire::Network& network, const std::atomic<bool>& stop);

}  // namespace tandem
