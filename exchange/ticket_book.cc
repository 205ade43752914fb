#include "exchange/ticket_book.h"

#include <algorithm>

#include "base/status.h"

namespace tandem {

proto::Ticket TicketBook::Entry::Ticket() const {
  proto::Ticket ticket;
  TANDEM_CHECK(ticket.ParseFromString(bytes));
  return ticket;
}

proto::Ticket TicketBook::Issue(proto::Ticket ticket, uint64_t holder, double now) {
  ticket.set_id(next_id_++);
  ticket.set_incarnation(incarnation_);
  ticket.set_attempt(0);
  out_.emplace_hint(out_.end(), ticket.id(), Entry{ticket.SerializeAsString(), ticket.purpose(), holder, now});
  Hold(holder, ticket.purpose());
  return ticket;
}

std::optional<proto::Ticket> TicketBook::Reissue(uint64_t holder) {
  if (lost_.empty()) return std::nullopt;
  Entry& entry = out_.at(lost_.front());
  lost_.pop_front();
  entry.holder = holder;
  proto::Ticket ticket = entry.Ticket();
  ticket.set_attempt(ticket.attempt() + 1);
  entry.bytes = ticket.SerializeAsString();
  Hold(holder, entry.purpose);
  return ticket;
}

std::vector<proto::Ticket> TicketBook::Lose(uint64_t holder, const std::function<bool(const proto::Ticket&)>& wanted) {
  std::vector<proto::Ticket> waiting;
  for (auto& [id, entry] : out_) {
    if (entry.holder != holder) continue;
    Release(holder, entry.purpose);
    entry.holder.reset();
    proto::Ticket ticket = entry.Ticket();
    if (!wanted(ticket)) continue;
    lost_.push_back(id);
    waiting.push_back(std::move(ticket));
  }
  std::sort(lost_.begin(), lost_.end());
  return waiting;
}

TicketBook::Verdict TicketBook::Arrive(const proto::Ticket& claimed, proto::Ticket* ticket, double* issued_s) {
  if (claimed.incarnation() != incarnation_ || claimed.id() >= next_id_) return Verdict::kOrphaned;
  const auto it = out_.find(claimed.id());
  if (it == out_.end()) return Verdict::kDuplicate;
  *ticket = it->second.Ticket();
  ticket->set_attempt(claimed.attempt());
  *issued_s = it->second.issued_s;
  if (it->second.holder) {
    Release(*it->second.holder, ticket->purpose());
  } else {
    std::erase(lost_, claimed.id());
  }
  out_.erase(it);
  return Verdict::kAccepted;
}

std::optional<proto::Ticket> TicketBook::Find(uint64_t id) const {
  const auto it = out_.find(id);
  return it == out_.end() ? std::nullopt : std::optional(it->second.Ticket());
}

size_t TicketBook::out(proto::Purpose purpose) const {
  return std::count_if(out_.begin(), out_.end(), [&](const auto& e) { return e.second.purpose == purpose; });
}

bool TicketBook::held(proto::Purpose purpose) const {
  const auto it = held_.find(purpose);
  return it != held_.end() && it->second > 0;
}

void TicketBook::Hold(uint64_t holder, proto::Purpose purpose) {
  ++held_[purpose];
  ++holders_[holder];
}

void TicketBook::Release(uint64_t holder, proto::Purpose purpose) {
  --held_[purpose];
  if (--holders_.at(holder) == 0) holders_.erase(holder);
}

}  // namespace tandem
