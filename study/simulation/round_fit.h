// How a worker's speed depends on how much it plays at the same time, told from when its turns were played.
#pragma once

#include <vector>

#include "study/simulation/recorded_groups.h"

namespace tandem {

// A round with n live turns costs in proportion to own + n: `own` is the cost of a round by itself, in turns.
struct RoundFit {
  double own = 0;
  double rounds_per_token = 0;  // of all workers, over the groups
};

// Between its first and its last token a turn sees its worker's rounds pass: so the time of a round is known, and how
// many turns were live meanwhile (`most_turns` at most). `own` is fitted to the medians of rounds that are alike; it is
// 0 when all rounds were alike, since then nothing tells it apart from the cost of turns.
RoundFit FitRounds(const std::vector<RecordedGroup>& groups, double most_turns);

}  // namespace tandem
