// What every process of a run is told, and the three parts that a run is made of. The parts are the same whether each
// is a process of its own or all are threads of one (--in-process).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "launch/config.h"
#include "proto/wire/network.h"
#include "trainer/checkpoint_list.h"

namespace tandem {

struct RunSetup {
  LoadedConfig loaded;
  std::string run_folder;      // absolute
  std::string endpoint;        // where the exchange listens
  std::string private_folder;  // for the rendezvous files of ranks
  uint32_t incarnation = 0;
  double clock_offset_s = 0;                     // of a resumed run: where its clock goes on
  std::map<std::string, CheckpointName> resume;  // by policy: the checkpoints that it goes on from
};

// Each blocks until its part of the run is over or `stop` is set and it has left cleanly.
absl::Status RunExchangePart(const RunSetup& setup, wire::Network& network, const std::atomic<bool>& stop);
absl::Status RunTrainerPart(const RunSetup& setup, const std::string& policy, uint32_t rank, wire::Network& network,
                            const std::atomic<bool>& stop);
absl::Status RunWorkerPart(const RunSetup& setup, uint32_t index, wire::Network& network,
                           const std::atomic<bool>& stop);

std::string RendezvousFile(const RunSetup& setup, const std::string& policy);

}  // namespace tandem
