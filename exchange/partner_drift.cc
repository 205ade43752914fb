#include "exchange/partner_drift.h"

#include <algorithm>

namespace tandem {
namespace {

// By policy but `policy`: the oldest version that wrote in the episode. Empty when `policy` wrote nothing in it.
std::map<std::string, int64_t> OldestOf(const proto::Episode& episode, const std::string& policy,
                                        uint32_t incarnation) {
  std::map<std::string, int64_t> oldest;
  bool wrote = false;
  for (const proto::Turn& turn : episode.turns()) {
    for (const proto::VersionRun& run : turn.version_runs()) {
      if (run.count() == 0) continue;
      wrote |= turn.policy() == policy;
      if (turn.policy() == policy) continue;
      const int64_t number = NumberOf(run.version(), incarnation);
      const auto [it, is_new] = oldest.emplace(turn.policy(), number);
      if (!is_new) it->second = std::min(it->second, number);
    }
  }
  if (!wrote) oldest.clear();
  return oldest;
}

}  // namespace

Partners PartnersOf(const proto::Group& group, const std::string& policy, uint32_t incarnation) {
  Partners partners;
  for (const proto::Episode& episode : group.episodes()) {
    for (const auto& [partner, number] : OldestOf(episode, policy, incarnation)) {
      const auto [it, is_new] = partners.emplace(partner, WrittenBy{number, number});
      if (is_new) continue;
      it->second.oldest = std::min(it->second.oldest, number);
      it->second.newest = std::max(it->second.newest, number);
    }
  }
  return partners;
}

Partners PartnersOf(const proto::Ticket& ticket, const std::string& policy) {
  Partners partners;
  for (const proto::TicketLimit& limit : ticket.limits()) {
    if (limit.policy() == policy) continue;
    int64_t oldest = limit.least().number();
    for (const proto::VersionRun& run : limit.writers()) {
      oldest = std::min(oldest, int64_t{run.version().number()});
    }
    partners[limit.policy()] = {oldest, oldest};
  }
  return partners;
}

void TakeOldest(const Partners& partners, const std::string& partner, std::optional<int64_t>* oldest) {
  const auto found = partners.find(partner);
  if (found != partners.end()) *oldest = std::min(oldest->value_or(found->second.oldest), found->second.oldest);
}

int64_t DriftOf(const proto::Episode& episode, const std::string& policy, uint32_t incarnation,
                const std::vector<proto::PolicyVersion>& now) {
  int64_t most = 0;
  for (const auto& [partner, number] : OldestOf(episode, policy, incarnation)) {
    most = std::max(most, NumberOf(now, partner) - number);
  }
  return most;
}

int64_t NumberOf(const std::vector<proto::PolicyVersion>& versions, const std::string& policy) {
  for (const proto::PolicyVersion& version : versions) {
    if (version.policy() == policy) return version.version().number();
  }
  return -1;
}

}  // namespace tandem
