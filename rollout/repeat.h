// Writes the turns of a finished group once more. A turn is a pure function of its prompt, its random key and the
// versions that wrote it (engine.h), and a group says all of these.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "proto/message.pb.h"
#include "proto/wire/packet.h"
#include "rollout/group_play.h"

namespace tandem {

struct Repeated {
  uint64_t turns = 0, tokens = 0;
};

// Every turn that an engine wrote, also one that was cancelled in the middle, must come out with the same tokens and
// log-probabilities, bit for bit; kDataLoss names the first token that does not: "ticket 12, episode 3, turn 1
// (executor, node 0): token 2 is 17 now, the journal has 9; version 0.4 wrote it". The engines, by policy, hold every
// version that wrote in the group and have no other turns. Adds to `repeated`.
absl::Status RepeatTurns(const proto::Group& group, std::span<const wire::Frame> frames,
                         const std::map<std::string, std::unique_ptr<Engine>>& engines, Repeated* repeated);

// Plays the ticket of a group anew, with the versions that wrote it then, whatever they say now: the version of each
// row of (episode, role, node) is the recorded one, and beyond what was recorded the last one recorded. A node that was
// not there then is played by the newest version of its policy that wrote in its episode, or else in the group, or else
// by the ticket's least. Blocks until the group is done; the engines of `cast` hold all of these.
absl::StatusOr<PlayedGroup> PlayAgain(Cast& cast, const proto::Group& group);

}  // namespace tandem
