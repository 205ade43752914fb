// A run in virtual time under another system's admission rule: the same work, workers and trainers as RunVirtually's,
// without the exchange.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "study/simulation/admission_rule.h"
#include "study/simulation/virtual_run.h"

namespace tandem {

struct RivalRun {
  double seconds = 0;                  // measured, virtual
  double groups_per_s = 0;             // trained on
  std::vector<double> age_share = {};  // of the tokens trained on, by age
  double over_bound_share = 0;         // of these, that were older than the bound
  double thrown_away_share = 0;        // of the groups that were started and ended: cancelled, or left out
  double training_share = 0;           // of the time in which a trainer takes a step
  double in_play = 0;                  // mean number of groups being played
};

// There is one row of versions: all policies train on the same groups at the same time, a step is over when the slowest
// has published, and ages are those that Tandem's gate knows too. The bound is the smallest of the policies'. Measured
// is from options.warm_up_share of the steps on. Deterministic. kDeadlineExceeded: it stands still.
absl::StatusOr<RivalRun> RunRival(const VirtualRunOptions& options, AdmissionRule* rule);

// The options that a configuration means to the rules.
RuleOptions RuleOptionsOf(const proto::Config& config);

}  // namespace tandem
