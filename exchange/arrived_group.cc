#include "exchange/arrived_group.h"

#include <algorithm>

namespace tandem {
std::optional<WrittenBy> VersionsOf(const proto::Group& group, const std::string& policy, uint32_t incarnation) {
  std::optional<WrittenBy> versions;
  for (const proto::Episode& episode : group.episodes()) {
    for (const proto::Turn& turn : episode.turns()) {
      if (turn.policy() != policy) continue;
      for (const proto::VersionRun& run : turn.version_runs()) {
        if (run.count() == 0) continue;
        const int64_t number = NumberOf(run.version(), incarnation);
        if (!versions) versions = {number, number};
        versions->oldest = std::min(versions->oldest, number);
        versions->newest = std::max(versions->newest, number);
      }
    }
  }
  return versions;
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
