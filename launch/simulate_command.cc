#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/status.h"
#include "launch/commands.h"
#include "launch/processes.h"
#include "launch/simulation_setup.h"
#include "launch/simulation_text.h"
#include "study/simulation/rival_run.h"
#include "study/simulation/staleness_limit.h"

namespace tandem {
namespace {

void Print(const std::string& text) { std::fputs(text.c_str(), stdout); }

// The run that the work was fitted to, once more: how far is what comes out from what was measured?
absl::Status CompareWithTheRun(const SimulationSetup& setup) {
  VirtualRunOptions options;
  options.config = setup.fitted->config;
  options.workers = WorkerCount(options.config, AvailableCores());
  options.cores = AvailableCores();
  TANDEM_ASSIGN_OR_RETURN(options.work, WorkFor(*setup.fitted, options.config, {}));
  TANDEM_ASSIGN_OR_RETURN(const VirtualRun again, RunVirtually(options));
  Print((setup.flags.json ? FittedJson : FittedText)(setup.flags.from, *setup.fitted, again));
  return absl::OkStatus();
}

// Groups per second without bounds.
absl::StatusOr<double> Unbounded(const SimulationSetup& setup) {
  TANDEM_ASSIGN_OR_RETURN(VirtualRunOptions options, OptionsOf(setup, 1024));
  options.config.clear_lag();
  for (auto& [name, policy] : *options.config.mutable_policies()) {
    policy.mutable_staleness()->set_on_limit(proto::PACE);
    policy.mutable_staleness()->clear_drift_bound();
  }
  TANDEM_ASSIGN_OR_RETURN(const VirtualRun run, RunVirtually(options));
  return run.groups_per_s;
}

absl::Status SimulateOne(const SimulationSetup& setup, std::optional<uint32_t> bound, double unbounded) {
  TANDEM_ASSIGN_OR_RETURN(const VirtualRunOptions options, OptionsOf(setup, bound));
  const proto::Config& config = options.config;
  Simulated simulated;
  simulated.unbounded = unbounded;
  simulated.bound = RuleOptionsOf(config).bound;
  const bool paced = std::all_of(config.policies().begin(), config.policies().end(), [](const auto& policy) {
    return policy.second.staleness().on_limit() == proto::PACE;
  });
  const uint32_t groups = config.train().groups_per_step();
  if (paced && setup.fitted == nullptr) {
    simulated.limit = StalenessLimit({.bound = simulated.bound,
                                      .groups_per_step = groups,
                                      .longest_s = MeanLongest(options.group_s, groups, config.seed()),
                                      .step_s = setup.step_s,
                                      .publish_s = options.publish_s});
  }
  TANDEM_ASSIGN_OR_RETURN(simulated.run, RunVirtually(options));
  Print((setup.flags.json ? SimulatedJson : SimulatedText)(simulated));
  if (setup.rules.empty()) return absl::OkStatus();
  if (!setup.flags.json) Print(RuleText(simulated));
  for (const std::string& name : setup.rules) {
    TANDEM_ASSIGN_OR_RETURN(const std::unique_ptr<AdmissionRule> rule, MakeAdmissionRule(name, RuleOptionsOf(config)));
    TANDEM_ASSIGN_OR_RETURN(const RivalRun run, RunRival(options, rule.get()));
    Print(setup.flags.json ? RuleJson(name, simulated.bound, run) : RuleText(name, run));
  }
  return absl::OkStatus();
}

absl::Status SimulateAll(const SimulationSetup& setup) {
  TANDEM_RETURN_IF_ERROR(OptionsOf(setup, std::nullopt).status());  // before anything is printed
  if (setup.fitted != nullptr) TANDEM_RETURN_IF_ERROR(CompareWithTheRun(setup));
  // Where cores are shared, generation that nothing holds back takes them from the trainers: nothing to compare with.
  double unbounded = 0;
  if (setup.fitted == nullptr) {
    TANDEM_ASSIGN_OR_RETURN(unbounded, Unbounded(setup));
  }
  for (const std::optional<uint32_t> bound : setup.bounds) {
    TANDEM_RETURN_IF_ERROR(SimulateOne(setup, bound, unbounded));
  }
  return absl::OkStatus();
}

}  // namespace

int Simulate(SimulateFlags flags) {
  const absl::StatusOr<SimulationSetup> setup = SetUpSimulation(std::move(flags));
  if (!setup.ok()) return BadInput(setup.status());
  const absl::Status status = SimulateAll(*setup);
  return status.ok() ? kExitFine : BadInput(status);
}

}  // namespace tandem
