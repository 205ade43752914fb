#include "study/simulation/virtual_run.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "study/simulation/virtual_gauge.h"
#include "study/simulation/virtual_team.h"

namespace tandem {

Workload GivenLatencies(const VirtualRunOptions& options) {
  Workload work;
  work.group = [group_s = options.group_s](double, RandomStream& random) {
    return GroupWork{.legs = {{.rounds = 0, .wait_s = group_s(random)}}};
  };
  for (const auto& [policy, step_s] : options.step_s) {
    work.step[policy] = [step_s](double) { return StepWork{.wait_s = step_s}; };
  }
  work.publish_s = options.publish_s;
  return work;
}

absl::StatusOr<VirtualRun> RunVirtually(const VirtualRunOptions& options) {
  TANDEM_ASSIGN_OR_RETURN(LagModels lags, MakeLagModels(options.config, "."));
  VirtualTeam team(options, std::move(lags));
  VirtualGauge gauge(&team, options.warm_up_share);
  team.Begin();
  while (!team.finished()) {
    if (team.events().empty()) {
      return absl::DeadlineExceededError(absl::StrCat("the run stands still: ", team.Waiting()));
    }
    gauge.AddUp(team.events().next_s() - team.events().now_s());
    team.events().RunNext();
  }
  VirtualRun run = gauge.Result();
  if (run.seconds > 1e-9) return run;
  return absl::FailedPreconditionError(absl::StrCat(
      "train.steps: ", options.config.train().steps(),
      " are too few: nothing is left to measure between the steps that fill the queues and the last tickets"));
}

}  // namespace tandem
