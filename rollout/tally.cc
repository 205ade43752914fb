#include "rollout/tally.h"

namespace tandem {

void CountGroup(const proto::Group& group, proto::RolloutMetrics* metrics) {
  metrics->set_episodes(metrics->episodes() + static_cast<uint32_t>(group.episodes_size()));
  if (group.ticket().purpose() == proto::SFT) return;
  uint32_t mixed = 0, masked = 0;
  for (const proto::Episode& episode : group.episodes()) {
    for (const proto::Fault& fault : episode.faults()) ++(*metrics->mutable_faults())[fault.kind()];
    for (const proto::Turn& turn : episode.turns()) {
      if (turn.version_runs_size() > 1) ++mixed;
      if (turn.masked()) masked += turn.output_tokens();
    }
  }
  metrics->set_turns_mixed(metrics->turns_mixed() + mixed);
  metrics->set_masked_tokens(metrics->masked_tokens() + masked);
}

}  // namespace tandem
