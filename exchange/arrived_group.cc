#include "exchange/arrived_group.h"

#include <algorithm>
#include <utility>

#include "proto/group.h"

namespace tandem {
namespace {

int64_t NumberOf(const proto::Version& version, uint32_t incarnation) {
  return version.incarnation() == incarnation ? int64_t{version.number()} : int64_t{-1};
}

}  // namespace

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

uint32_t TokensBefore(const proto::Group& group, const std::string& policy, uint32_t incarnation, int64_t number) {
  uint32_t tokens = 0;
  for (const proto::Episode& episode : group.episodes()) {
    for (const proto::Turn& turn : episode.turns()) {
      if (turn.policy() != policy) continue;
      for (const proto::VersionRun& run : turn.version_runs()) {
        if (NumberOf(run.version(), incarnation) < number) tokens += run.count();
      }
    }
  }
  return tokens;
}

std::vector<wire::Frame> MaskBefore(const ArrivedGroup& group, const std::string& policy, uint32_t incarnation,
                                    int64_t number) {
  std::string mask = *group.frames.at(kLossMask);
  size_t at = 0;  // first output token of the turn
  for (const proto::Episode& episode : group.header.episodes()) {
    for (const proto::Turn& turn : episode.turns()) {
      size_t token = at;
      at += turn.output_tokens();
      if (turn.policy() != policy) continue;
      for (const proto::VersionRun& run : turn.version_runs()) {
        if (NumberOf(run.version(), incarnation) < number) mask.replace(token, run.count(), run.count(), '\0');
        token += run.count();
      }
    }
  }
  std::vector<wire::Frame> frames = group.frames;
  frames[kLossMask] = wire::MakeFrame(std::move(mask));
  return frames;
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
