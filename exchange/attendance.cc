#include "exchange/attendance.h"

#include <algorithm>

#include "base/status.h"

namespace tandem {

Attendance::Attendance(const proto::Config& config, double began) : patience_s_(config.transport().connect_s()) {
  for (const auto& [policy, options] : config.policies()) {
    for (uint32_t rank = 0; rank < options.ranks(); ++rank) trainers_[{policy, rank}].since = began;
  }
  workers_.since = began;
}

void Attendance::Joined(double, wire::SessionId session, const proto::Hello& hello) {
  peers_[session] = hello;
  if (hello.kind() == proto::WORKER) workers_.session = session;
  const auto seat = trainers_.find({hello.policy(), hello.rank()});
  if (hello.kind() == proto::TRAINER && seat != trainers_.end()) seat->second.session = session;
}

void Attendance::Gone(double now, wire::SessionId session, const std::string& how) {
  const auto peer = peers_.find(session);
  if (peer == peers_.end()) return;
  const Seat empty = {std::nullopt, now, absl::StrCat(peer->second.name(), " ", how)};
  for (auto& [place, seat] : trainers_) {
    if (seat.session == session) seat = empty;
  }
  peers_.erase(peer);
  told_.erase(session);
  if (workers_.session != session) return;
  workers_ = empty;
  for (const auto& [other, hello] : peers_) {
    if (hello.kind() == proto::WORKER) workers_.session = other;
  }
}

const proto::Hello* Attendance::Find(wire::SessionId session) const {
  const auto it = peers_.find(session);
  return it == peers_.end() ? nullptr : &it->second;
}

std::string Attendance::Name(wire::SessionId session) const {
  const proto::Hello* hello = Find(session);
  return hello != nullptr ? hello->name() : "a lost peer";
}

bool Attendance::MayLeave(wire::SessionId session) const {
  const proto::Hello* hello = Find(session);
  if (hello == nullptr || hello->kind() == proto::OBSERVER || told_.contains(session)) return true;
  return hello->kind() == proto::TRAINER && released_.contains(hello->policy());
}

bool Attendance::TrainersTold() const {
  return std::all_of(peers_.begin(), peers_.end(),
                     [&](const auto& peer) { return peer.second.kind() != proto::TRAINER || MayLeave(peer.first); });
}

bool Attendance::NobodyHere() const {
  return std::all_of(peers_.begin(), peers_.end(),
                     [](const auto& peer) { return peer.second.kind() == proto::OBSERVER; });
}

absl::Status Attendance::Check(const Seat& seat, const std::string& what, double now) const {
  if (seat.session || now - seat.since < patience_s_) return absl::OkStatus();
  if (seat.story.empty()) {
    return absl::UnavailableError(absl::StrCat("no ", what, " has joined within ", patience_s_, " s"));
  }
  return absl::UnavailableError(
      absl::StrCat(seat.story, ", and no ", what, " has joined since, for ", patience_s_, " s"));
}

absl::Status Attendance::Health(double now) const {
  for (const auto& [place, seat] : trainers_) {
    const auto& [policy, rank] = place;
    if (released_.contains(policy)) continue;
    const std::string of_rank = rank > 0 ? absl::StrCat(" (rank ", rank, ")") : "";
    TANDEM_RETURN_IF_ERROR(Check(seat, absl::StrCat("trainer of policy ", policy, of_rank), now));
  }
  return Check(workers_, "worker", now);
}

}  // namespace tandem
