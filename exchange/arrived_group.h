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

// Numbers of the oldest and the newest version of a policy that wrote tokens of a group. -1 stands for versions of
// another incarnation, which are older than any of this one.
struct WrittenBy {
  int64_t oldest, newest;
};
// nullopt when the group has no token of the policy.
std::optional<WrittenBy> VersionsOf(const proto::Group& group, const std::string& policy, uint32_t incarnation);

// Output tokens of `policy` that versions below `number` wrote.
uint32_t TokensBefore(const proto::Group& group, const std::string& policy, uint32_t incarnation, int64_t number);

// The frames of the group with loss mask 0 for these tokens; the group's own are not touched.
std::vector<wire::Frame> MaskBefore(const ArrivedGroup& group, const std::string& policy, uint32_t incarnation,
                                    int64_t number);

// Output tokens that `policy` wrote in the group, and the mean of the rewards named "team".
uint32_t TokensOf(const proto::Group& group, const std::string& policy);
double MeanTeamReward(const proto::Group& group);

}  // namespace tandem
