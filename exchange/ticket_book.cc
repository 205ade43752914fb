#include "exchange/ticket_book.h"

#include <algorithm>

#include "base/status.h"

namespace tandem {

proto::Ticket TicketBook::Issue(proto::Ticket ticket, uint64_t holder, double now) {
  ticket.set_id(next_id_++);
  ticket.set_incarnation(incarnation_);
  ticket.set_attempt(0);
  out_[ticket.id()] = {ticket, holder, now};
  ++held_[ticket.purpose()];
  return ticket;
}

std::optional<proto::Ticket> TicketBook::Reissue(uint64_t holder) {
  if (lost_.empty()) return std::nullopt;
  Entry& entry = out_.at(lost_.front());
  lost_.pop_front();
  entry.holder = holder;
  entry.ticket.set_attempt(entry.ticket.attempt() + 1);
  ++held_[entry.ticket.purpose()];
  return entry.ticket;
}

std::vector<proto::Ticket> TicketBook::Lose(uint64_t holder, const std::function<bool(const proto::Ticket&)>& wanted) {
  std::vector<proto::Ticket> waiting;
  for (auto& [id, entry] : out_) {
    if (entry.holder != holder) continue;
    --held_[entry.ticket.purpose()];
    entry.holder.reset();
    if (!wanted(entry.ticket)) continue;
    lost_.push_back(id);
    waiting.push_back(entry.ticket);
  }
  std::sort(lost_.begin(), lost_.end());
  return waiting;
}

TicketBook::Verdict TicketBook::Arrive(const proto::Ticket& claimed, proto::Ticket* ticket, double* issued_s) {
  if (claimed.incarnation() != incarnation_ || claimed.id() >= next_id_) return Verdict::kOrphaned;
  const auto it = out_.find(claimed.id());
  if (it == out_.end()) return Verdict::kDuplicate;
  *ticket = it->second.ticket;
  ticket->set_attempt(claimed.attempt());
  *issued_s = it->second.issued_s;
  if (it->second.holder) {
    --held_[ticket->purpose()];
  } else {
    std::erase(lost_, claimed.id());
  }
  out_.erase(it);
  return Verdict::kAccepted;
}

const proto::Ticket* TicketBook::Find(uint64_t id) const {
  const auto it = out_.find(id);
  return it == out_.end() ? nullptr : &it->second.ticket;
}

size_t TicketBook::out(proto::Purpose purpose) const {
  return std::count_if(out_.begin(), out_.end(), [&](const auto& e) { return e.second.ticket.purpose() == purpose; });
}

bool TicketBook::held(proto::Purpose purpose) const {
  const auto it = held_.find(purpose);
  return it != held_.end() && it->second > 0;
}

std::map<uint64_t, uint32_t> TicketBook::holders() const {
  std::map<uint64_t, uint32_t> counts;
  for (const auto& [id, entry] : out_) {
    if (entry.holder) ++counts[*entry.holder];
  }
  return counts;
}

}  // namespace tandem
