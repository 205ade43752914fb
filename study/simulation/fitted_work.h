// The work of a run that was measured, to be done again by another number of workers, under other bounds, on other
// cores.
//
// What is fitted, over the reinforcement part (from the first ticket of it to the last step):
// - a trainer: CPU seconds of each step (without the first, which has the time before it). Of these a part is fixed and
//   a part in proportion to the tokens, told apart by steps with more and with fewer. What it waits for besides groups:
//   publishing, which is the least but 5 % of what its steps' wall time has more than CPU time; and getting a batch
//   that is there, which is the least but 5 % of the waits of the policy that waits least.
// - a worker: CPU seconds per token, of a round (decode step) by itself and of each live turn
// (study/simulation/round_fit.h); and
//   of each group its rounds, its turns and its waits for tools (study/simulation/group_legs.h). Groups are drawn from
//   those that were played at about the same share of the steps. Of each policy, from when to when in a group's time it
//   writes.
// - the exchange: CPU seconds per group.
// - from a step's publishing until workers generate with it: the mean of publish_lag_s.
//
// Assumed is that CPU seconds stay the same, whoever else computes; that a trainer's threads share its work equally,
// and its ranks do the same; that all groups come at the price of the mean token; that the kernel divides the cores
// fairly (study/simulation/machine.h). Prompts, messages and bookkeeping count as part of the tokens that they are for.
// On a GPU the CPU seconds of who waits for it busily are its time; `cores` should then be as many as there are
// processes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/config.pb.h"
#include "study/simulation/workload.h"

namespace tandem {

struct FittedTrainer {
  std::vector<double> step_cpu_s = {};  // of one rank, in the order of the steps
  double fixed_cpu_s = 0;               // of each
  double wait_s = 0;
};

struct FittedWork {
  proto::Config config = {};           // that the run had
  std::vector<GroupWork> groups = {};  // in the order of their issue
  double round_cpu_s = 0, turn_cpu_s = 0;
  double group_cpu_s = 0;    // of a worker, for a mean group: it says what these two come to
  double largest_share = 1;  // of the tokens that the policy that writes most of them writes: its engine fills up first
  std::map<std::string, WrittenSpan> written = {};  // by policy
  std::map<std::string, FittedTrainer> trainers = {};
  double exchange_cpu_s = 0;
  double batch_s = 0;  // from when a trainer asks for a batch that is there to when it has it
  double publish_s = 0;
  // What the run itself came to, over the steps that a simulation measures.
  double groups_per_s = 0;
  double mean_age = 0;  // of a policy's tokens trained on, over all policies alike
};

// `config` is the one that the run in `run_folder` had, `journal` the path of its last journal. kNotFound: there is no
// metrics.jsonl or journal. kFailedPrecondition: nothing can be told from it: too few steps, or no CPU times.
// kDataLoss: it is damaged. Errors are one line and name the file.
absl::StatusOr<FittedWork> FitWork(const std::string& run_folder, const std::string& journal,
                                   const proto::Config& config);

struct WorkChanges {
  std::map<std::string, double> speed = {};  // of the trainer of a policy, or of "workers": how many times as fast
  std::optional<double> publish_s = std::nullopt;
};

// The same work in a run of configuration `config`, which may have another number of groups in a step, episodes in a
// group, threads, ranks and slower tools, but not other models or tasks. kInvalidArgument: it has. `fitted` outlives
// it.
absl::StatusOr<Workload> WorkFor(const FittedWork& fitted, const proto::Config& config, const WorkChanges& changes);

}  // namespace tandem
