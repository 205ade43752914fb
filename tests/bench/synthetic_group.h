// A finished group as a worker sends it, with made-up tokens: 16 episodes of a planner's turn and three executor's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "proto/message.pb.h"
#include "proto/wire/packet.h"

namespace tandem {

struct GroupShape {
  uint32_t episodes = 16;
  uint32_t turns = 4;    // of an episode
  uint32_t prompt = 32;  // tokens of each turn
  uint32_t output = 64;

  uint32_t turns_of_group() const { return episodes * turns; }
};

class SyntheticGroup {
 public:
  // Ids are uniform below 32,000 and log-probabilities have random digits, so that neither packs better than real ones.
  // At temperature 1 both log-probabilities of a token are the same, as an engine's are.
  explicit SyntheticGroup(const GroupShape& shape);

  // The header for a ticket, every token of a policy written by the newest of `versions`.
  proto::Group For(const proto::Ticket& ticket, const std::map<std::string, proto::Version>& versions) const;
  const std::vector<wire::Frame>& frames() const { return frames_; }

 private:
  proto::Group header_;
  std::vector<wire::Frame> frames_;
};

}  // namespace tandem
