// A group that has arrived: immutable, shared by all policies that still need it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proto/message.pb.h"
#include "proto/wire/packet.h"

namespace tandem {

struct ArrivedGroup {
  proto::Group header;
  std::vector<wire::Frame> frames;  // kFramesPerGroup (proto/group.h)
};
using GroupPtr = std::shared_ptr<const ArrivedGroup>;

// Number of the oldest version of `policy` that wrote a token of the group; -1 when a version of another incarnation
// did (older than any of this one); nullopt when the group has no token of the policy.
std::optional<int64_t> OldestVersion(const proto::Group& group, const std::string& policy, uint32_t incarnation);

// Output tokens that `policy` wrote in the group, and the mean of the rewards named "team".
uint32_t TokensOf(const proto::Group& group, const std::string& policy);
double MeanTeamReward(const proto::Group& group);

}  // namespace tandem
