#include "exchange/over_bound.h"

#include <utility>

#include "exchange/partner_drift.h"
#include "proto/group.h"

namespace tandem {
namespace {

// Calls over(first, count) for each run of such tokens, counted over all output tokens of the group.
template <typename Over>
void ForEach(const proto::Group& group, const std::string& policy, uint32_t incarnation, const Beyond& beyond,
             const std::vector<proto::PolicyVersion>& now, const Over& over) {
  size_t at = 0;  // first output token of the turn
  for (const proto::Episode& episode : group.episodes()) {
    const bool drifted = beyond.drift && DriftOf(episode, policy, incarnation, now) > int64_t{*beyond.drift};
    for (const proto::Turn& turn : episode.turns()) {
      size_t token = at;
      at += turn.output_tokens();
      if (turn.policy() != policy) continue;
      for (const proto::VersionRun& run : turn.version_runs()) {
        if (drifted || NumberOf(run.version(), incarnation) < beyond.before) over(token, run.count());
        token += run.count();
      }
    }
  }
}

}  // namespace

uint32_t TokensBeyond(const proto::Group& group, const std::string& policy, uint32_t incarnation, const Beyond& beyond,
                      const std::vector<proto::PolicyVersion>& now) {
  uint32_t tokens = 0;
  ForEach(group, policy, incarnation, beyond, now, [&](size_t, uint32_t count) { tokens += count; });
  return tokens;
}

std::vector<wire::Frame> MaskBeyond(const ArrivedGroup& group, const std::string& policy, uint32_t incarnation,
                                    const Beyond& beyond, const std::vector<proto::PolicyVersion>& now) {
  std::string mask = *group.frames.at(kLossMask);
  ForEach(group.header, policy, incarnation, beyond, now,
          [&](size_t token, uint32_t count) { mask.replace(token, count, count, '\0'); });
  std::vector<wire::Frame> frames = group.frames;
  frames[kLossMask] = wire::MakeFrame(std::move(mask));
  return frames;
}

}  // namespace tandem
