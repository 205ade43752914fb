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
  uint64_t place = 0;               // in the journal
};
using GroupPtr = std::shared_ptr<const ArrivedGroup>;

// -1 for a version of another incarnation: it is older than any of this one.
inline int64_t NumberOf(const proto::Version& version, uint32_t incarnation) {
  return version.incarnation() == incarnation ? int64_t{version.number()} : int64_t{-1};
}

// Numbers of the oldest and the newest version of a policy that wrote tokens of a group.
struct WrittenBy {
  int64_t oldest, newest;
};
// nullopt when the group has no token of the policy.
std::optional<WrittenBy> VersionsOf(const proto::Group& group, const std::string& policy, uint32_t incarnation);

// Output tokens that `policy` wrote in the group, and the mean of the rewards named "team".
uint32_t TokensOf(const proto::Group& group, const std::string& policy);
double MeanTeamReward(const proto::Group& group);

}  // namespace tandem
