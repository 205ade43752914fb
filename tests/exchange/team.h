// The peers of a simulation: every policy's trainer, and the workers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/exchange/simulated_trainer.h"
#include "tests/exchange/simulated_worker.h"
#include "tests/exchange/simulation.h"

namespace tandem {

struct Team {
  explicit Team(Scenario scenario);

  Simulation sim;
  std::vector<std::unique_ptr<SimulatedTrainer>> trainers;
  std::vector<std::unique_ptr<SimulatedWorker>> workers;
};

struct Played {
  std::string violation;  // of a promise; "" when all were kept
  uint64_t groups = 0;    // that were issued for training
  Sightings seen = {};
};

// Plays a schedule from beginning to end. The same scenario is always played in the same way.
Played Play(const Scenario& scenario);

}  // namespace tandem
