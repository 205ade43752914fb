#include "exchange/arrived_group.h"

#include <algorithm>

namespace tandem {

std::optional<int64_t> OldestVersion(const proto::Group& group, const std::string& policy, uint32_t incarnation) {
  std::optional<int64_t> oldest;
  for (const proto::Episode& episode : group.episodes()) {
    for (const proto::Turn& turn : episode.turns()) {
      if (turn.policy() != policy) continue;
      for (const proto::VersionRun& run : turn.version_runs()) {
        if (run.count() == 0) continue;
        const bool ours = run.version().incarnation() == incarnation;
        const int64_t number = ours ? int64_t{run.version().number()} : int64_t{-1};
        oldest = std::min(oldest.value_or(number), number);
      }
    }
  }
  return oldest;
}

uint32_t TokensOf(const proto::Group& group, const std::string& policy) {
  uint32_t tokens = 0;
  for (const proto::Episode& episode : group.episodes()) {
    for (const proto::Turn& turn : episode.turns()) {
      if (turn.policy() == policy) tokens += turn.output_tokens();
    }
  }
  return tokens;
}

double MeanTeamReward(const proto::Group& group) {
  if (group.episodes().empty()) return 0;
  double sum = 0;
  for (const proto::Episode& episode : group.episodes()) {
    for (const proto::NamedValue& reward : episode.rewards()) {
      if (reward.name() == "team") sum += reward.value();
    }
  }
  return sum / group.episodes_size();
}

}  // namespace tandem
