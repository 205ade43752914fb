#include "proto/wire/outbox.h"

#include <algorithm>
#include <utility>

namespace tandem::wire {

uint64_t Outbox::Add(Packet packet, std::string what, double deadline_s, double now) {
  const uint64_t call = ++last_call_;
  packet.header.set_call(call);
  const double deadline = now + deadline_s;
  pending_.emplace(call, Pending{std::move(packet), std::move(what), "", now, deadline, now});
  next_send_ = std::min(next_send_, now);
  next_deadline_ = std::min(next_deadline_, deadline);
  return call;
}

void Outbox::SendDue(double now, absl::FunctionRef<void(const Packet&)> send) {
  if (now < next_send_) return;
  next_send_ = kNever;
  for (auto& [call, pending] : pending_) {
    if (now >= pending.send_at) {
      WriteDone(done_, &pending.packet.header);
      send(pending.packet);
      pending.send_at = now + resend_s_;
    }
    next_send_ = std::min(next_send_, pending.send_at);
  }
}

bool Outbox::Take(const proto::Header& header) {
  const auto found = pending_.find(header.call());
  if (found == pending_.end()) return false;
  if (header.has_still_waiting()) {
    found->second.missing = header.still_waiting().missing();
    found->second.packet.frames.clear();
    return false;
  }
  Drop(header.call());
  return true;
}

void Outbox::Drop(uint64_t call) {
  if (pending_.erase(call) > 0) done_.Insert(call);
}

std::optional<Overdue> Outbox::TakeOverdue(double now) {
  if (now < next_deadline_) return std::nullopt;
  next_deadline_ = kNever;
  for (const auto& [call, pending] : pending_) {
    if (now >= pending.deadline) {
      Overdue overdue{call, pending.what, now - pending.started, pending.missing};
      Drop(call);
      next_deadline_ = now;  // others may be overdue too
      return overdue;
    }
    next_deadline_ = std::min(next_deadline_, pending.deadline);
  }
  return std::nullopt;
}

}  // namespace tandem::wire
