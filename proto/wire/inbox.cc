#include "proto/wire/inbox.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "base/status.h"

namespace tandem::wire {

absl::StatusOr<bool> Inbox::Join(SessionId session, const proto::Hello& peer, double silence_s, double now) {
  if (const auto found = sessions_.find(session); found != sessions_.end()) {
    found->second.heard = now;
    return false;
  }
  const auto is_this = [&](const auto& lost) { return lost.first == session; };
  if (std::any_of(lost_before_.begin(), lost_before_.end(), is_this)) {
    return absl::FailedPreconditionError(WhyNotHere(session));
  }
  for (auto other = sessions_.begin(); other != sessions_.end();) {
    other = other->second.peer.name() == peer.name() ? End(other, "joined again as another session") : std::next(other);
  }
  sessions_[session] = Session{peer, silence_s, now, {}, {}};
  return true;
}

absl::StatusOr<Verdict> Inbox::Receive(const proto::Header& header, double now) {
  const auto found = sessions_.find(header.session());
  if (found == sessions_.end()) return absl::NotFoundError(WhyNotHere(header.session()));
  Session& session = found->second;
  session.heard = now;
  TANDEM_RETURN_IF_ERROR(ReadDone(header, &session.done));
  for (const auto& [from, to] : session.done.ranges()) {
    session.calls.erase(session.calls.lower_bound(from), session.calls.lower_bound(to));
  }
  if (std::max(session.calls.size(), session.done.ranges().size()) >= kMaxOpenCalls) {
    return absl::ResourceExhaustedError(absl::StrCat(session.peer.name(), " has ", kMaxOpenCalls, " calls open"));
  }
  if (header.call() == 0) return Verdict{Verdict::kNothing, nullptr, ""};
  // A message that the network kept for long: the client has the answer, or gave up.
  if (session.done.Contains(header.call())) return Verdict{Verdict::kNothing, nullptr, ""};
  const auto [entry, first] = session.calls.try_emplace(header.call());
  if (first) return Verdict{Verdict::kHandOut, nullptr, ""};
  const Call& call = entry->second;
  if (call.answered) return Verdict{Verdict::kRepeat, &call.reply, ""};
  return Verdict{Verdict::kStillWaiting, nullptr, call.missing};
}

const Packet* Inbox::Answer(SessionId session, uint64_t number, Packet reply) {
  Call* call = Find(session, number);
  if (call == nullptr) return nullptr;
  TANDEM_CHECK(!call->answered);
  call->answered = true;
  call->missing.clear();
  call->reply = std::move(reply);
  return &call->reply;
}

void Inbox::SetMissing(SessionId session, uint64_t number, std::string missing) {
  if (Call* call = Find(session, number); call != nullptr && !call->answered) call->missing = std::move(missing);
}

bool Inbox::Leave(SessionId session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return false;
  Remember(session, "said goodbye");
  sessions_.erase(found);
  return true;
}

void Inbox::Lose(SessionId session, std::string why) {
  if (const auto found = sessions_.find(session); found != sessions_.end()) End(found, std::move(why));
  std::erase_if(lost_, [&](const Lost& lost) { return lost.session == session; });
}

std::vector<Lost> Inbox::TakeLost(double now) {
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    const double silent = now - it->second.heard;
    it = silent > it->second.silence_s ? End(it, absl::StrFormat("silent for %.1f s", silent)) : std::next(it);
  }
  return std::exchange(lost_, {});
}

void Inbox::Forgive(double seconds) {
  for (auto& [id, session] : sessions_) session.heard += seconds;
}

const proto::Hello* Inbox::peer(SessionId session) const {
  const auto found = sessions_.find(session);
  return found == sessions_.end() ? nullptr : &found->second.peer;
}

size_t Inbox::open_calls(SessionId session) const {
  const auto found = sessions_.find(session);
  return found == sessions_.end() ? 0 : found->second.calls.size();
}

Inbox::Call* Inbox::Find(SessionId session, uint64_t call) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return nullptr;
  const auto entry = found->second.calls.find(call);
  return entry == found->second.calls.end() ? nullptr : &entry->second;
}

std::map<SessionId, Inbox::Session>::iterator Inbox::End(std::map<SessionId, Session>::iterator session,
                                                         std::string why) {
  Remember(session->first, why);
  lost_.push_back({session->first, session->second.peer, std::move(why)});
  return sessions_.erase(session);
}

void Inbox::Remember(SessionId session, std::string why) {
  lost_before_.emplace_back(session, std::move(why));
  if (lost_before_.size() > kLostRemembered) lost_before_.pop_front();
}

std::string Inbox::WhyNotHere(SessionId session) const {
  for (auto lost = lost_before_.rbegin(); lost != lost_before_.rend(); ++lost) {
    if (lost->first == session) return absl::StrCat("the session was lost: ", lost->second);
  }
  return "the session is not known";
}

}  // namespace tandem::wire
