// What there is to do in a run: given, or fitted to a run that was measured (study/simulation/fitted_work.h).
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"

namespace tandem {

// What a group asks of the worker that plays it, one leg after the other.
struct GroupWork {
  struct Leg {
    double rounds = 0;  // decode steps of the worker that its turns take part in; then
    double wait_s = 0;  // a wait that costs nothing, for tools
  };
  std::vector<Leg> legs = {};
  double turns = 0;  // live ones, in a round that it takes part in: mean
};

// What a step asks of its trainer.
struct StepWork {
  double cpu_s = 0;      // of all threads; then
  double wait_s = 0;     // what it waits for others: publishing
  uint32_t threads = 1;  // that compute at the same time
};

// When in a group's time a policy's tokens are written, evenly: 0 is its start, 1 its arrival.
struct WrittenSpan {
  double from = 0, to = 1;
};

struct Workload {
  // `progress`: the share of the run's steps that are done. Work changes while a policy learns.
  std::function<GroupWork(double progress, RandomStream&)> group = {};
  std::map<std::string, std::function<StepWork(double progress)>> step = {};  // by policy
  // A worker's round with n live turns takes round_cpu_s + turn_cpu_s * min(n, most_turns) CPU seconds; with more than
  // most_turns they take turns, so that each comes a round forward in n / most_turns of them.
  double round_cpu_s = 0, turn_cpu_s = 0;
  double most_turns = std::numeric_limits<double>::infinity();
  std::map<std::string, WrittenSpan> written = {};  // by policy; those left out write all the time
  double exchange_cpu_s = 0;                        // for each group, all that it leads to included
  double publish_s = 0;                             // from the end of a step until workers generate with its version
};

}  // namespace tandem
