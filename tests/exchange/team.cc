#include "tests/exchange/team.h"

#include <utility>

namespace tandem {

Team::Team(Scenario scenario) : sim(std::move(scenario)) {
  for (const std::string& policy : sim.policies()) {
    trainers.push_back(std::make_unique<SimulatedTrainer>(&sim, policy));
  }
  for (int i = 0; i < sim.scenario().workers; ++i) workers.push_back(std::make_unique<SimulatedWorker>(&sim, i));
  sim.on_announcement = [this](const proto::Announcement& announcement) {
    for (const auto& worker : workers) worker->Heard(announcement);
  };
}

Played Play(const Scenario& scenario) {
  Team team(scenario);
  Played played;
  played.violation = team.sim.Run();
  played.groups = team.sim.checker().groups();
  played.seen = team.sim.checker().seen();
  return played;
}

}  // namespace tandem
