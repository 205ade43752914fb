#include "study/simulation/group_legs.h"

#include <algorithm>

namespace tandem {

GroupWork WorkOf(const RecordedGroup& group, bool tools) {
  GroupWork work;
  double covered_s = -1e300, tokens = 0, rounds = 0;
  for (const RecordedTurn& turn : group.turns) {
    tokens += turn.tokens;
    const double seconds = turn.ended_s - turn.began_s, wait_s = turn.began_s - covered_s;
    const bool first = work.legs.empty();
    if (first || (tools && wait_s > 0)) {
      if (!first) work.legs.back().wait_s = wait_s;
      work.legs.emplace_back();
    }
    if (turn.ended_s <= covered_s) continue;
    const double share = first || seconds <= 0 ? 1 : std::min(1.0, (turn.ended_s - covered_s) / seconds);
    work.legs.back().rounds += share * turn.tokens;
    rounds += share * turn.tokens;
    covered_s = turn.ended_s;
  }
  if (tools && !work.legs.empty()) work.legs.back().wait_s = std::max(0.0, group.arrived_s - covered_s);
  work.turns = rounds > 0 ? tokens / rounds : 0;
  return work;
}

}  // namespace tandem
