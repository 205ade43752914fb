// Which processes a run has, and how each is called.
#pragma once

#include <string>
#include <vector>

#include "launch/run_setup.h"
#include "launch/supervisor.h"

namespace tandem {

// Cores that this process may use: those of its affinity mask, and of its control group's quota where there is one.
int AvailableCores();

// rollout.workers; where that is 0, one for each core that no trainer needs, and at least one (under a virtual clock
// one).
uint32_t WorkerCount(const proto::Config& config, int cores);

// The exchange, one trainer for each rank of each policy, and the workers.
std::vector<ChildSpec> PlanProcesses(const RunSetup& setup, const std::string& executable);

}  // namespace tandem
