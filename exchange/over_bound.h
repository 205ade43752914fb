// What of a group lies beyond a policy's bounds: masked out under mask, counted under accept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "exchange/arrived_group.h"

namespace tandem {

struct Beyond {
  int64_t before = 0;                  // tokens that versions below this wrote
  std::optional<uint32_t> drift = {};  // turns of episodes in which a partner has moved on by more
};

// Output tokens of `policy` that are beyond; `now`: the newest versions when the batch was cut.
uint32_t TokensBeyond(const proto::Group& group, const std::string& policy, uint32_t incarnation, const Beyond& beyond,
                      const std::vector<proto::PolicyVersion>& now);

// The frames of the group with loss mask 0 for these tokens; the group's own are not touched.
std::vector<wire::Frame> MaskBeyond(const ArrivedGroup& group, const std::string& policy, uint32_t incarnation,
                                    const Beyond& beyond, const std::vector<proto::PolicyVersion>& now);

}  // namespace tandem
