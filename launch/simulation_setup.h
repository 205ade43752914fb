// What `tandem simulate` is asked to simulate.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "launch/commands.h"
#include "study/simulation/fitted_work.h"
#include "study/simulation/virtual_run.h"

namespace tandem {

struct SimulationSetup {
  SimulateFlags flags;
  proto::Config config;
  std::vector<std::optional<uint32_t>> bounds;  // to simulate; nullopt: those of the configuration
  std::vector<std::string> rules;               // of others, to compare with
  uint32_t workers = 1;
  double cores = 0;                    // infinity where latencies are given
  std::unique_ptr<FittedWork> fitted;  // null where latencies are given
  WorkChanges changes;
  double median_s = 1, sigma = 1, cap = 8, step_s = 0;  // where latencies are given
};

// Reads the configuration, or the run's own where only a run is named, and the run. Errors are one line that names the
// flag or the file.
absl::StatusOr<SimulationSetup> SetUpSimulation(SimulateFlags flags);

// A run of that setup, with `bound` in place of the configuration's bounds. `setup` outlives it.
absl::StatusOr<VirtualRunOptions> OptionsOf(const SimulationSetup& setup, std::optional<uint32_t> bound);

}  // namespace tandem
