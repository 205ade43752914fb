// Small groups for the tests of the exchange's parts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "exchange/arrived_group.h"

namespace tandem {

// A group of one episode in which `policy` wrote one token with each of `versions` (of incarnation 0).
inline std::shared_ptr<ArrivedGroup> MakeGroup(uint64_t ticket, const std::string& policy,
                                               const std::vector<uint32_t>& versions, double arrived_s = 0) {
  auto group = std::make_shared<ArrivedGroup>();
  group->header.mutable_ticket()->set_id(ticket);
  group->header.mutable_ticket()->set_episodes(1);
  group->header.set_arrived_s(arrived_s);
  proto::Turn* turn = group->header.add_episodes()->add_turns();
  turn->set_policy(policy);
  turn->set_output_tokens(versions.size());
  for (uint32_t version : versions) {
    proto::VersionRun* run = turn->add_version_runs();
    run->mutable_version()->set_number(version);
    run->set_count(1);
  }
  return group;
}

}  // namespace tandem
