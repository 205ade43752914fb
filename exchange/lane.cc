#include "exchange/lane.h"

#include <algorithm>
#include <limits>

#include "base/status.h"

namespace tandem {

Lane::Lane(LaneOptions options)
    : options_(std::move(options)),
      gate_(options_.batcher.groups_per_step),
      ledger_(options_.batcher.policy),
      batcher_(options_.batcher),
      store_(options_.batcher.policy, options_.keep_versions) {
  const uint64_t first = options_.first_version, last = options_.last_version;
  to_issue_ = first < last ? (last - first) * options_.batcher.groups_per_step : 0;
  if (options_.lag) slots_.emplace(*options_.lag, options_.first_version, options_.last_version, groups_per_step());
}

bool Lane::MayPublish(uint32_t number) const {
  if (!version_) return number == options_.first_version;
  return batch_ && number == *version_ + 1;
}

void Lane::Publish(uint32_t number) {
  TANDEM_CHECK(MayPublish(number));
  version_ = number;
  if (!batch_) return;
  for (const Batcher::Entry& entry : batch_->groups) {
    ledger_.Train(entry.group->header.episodes_size());
    if (slots_) slots_->Close(entry.group->header.ticket().id());
  }
  batch_.reset();
}

bool Lane::Admits(int64_t latest) const {
  if (slots_) return version_ && slots_->MayIssueAny(*version_);
  return version_ && gate_.Admits(next(), std::min(int64_t{*version_} + bound(), latest));
}

proto::TicketLimit Lane::Issue(const proto::Ticket& ticket, bool counted, std::optional<uint64_t> slot,
                               int64_t latest) {
  TANDEM_CHECK(version_.has_value());
  proto::TicketLimit limit;
  limit.set_policy(policy());
  limit.mutable_least()->set_incarnation(options_.batcher.incarnation);
  limit.mutable_least()->set_number(*version_);
  if (!counted) {
    limit.set_consume_by(std::numeric_limits<uint32_t>::max());
    return limit;
  }
  limit.set_consume_by(static_cast<uint32_t>(std::min(int64_t{*version_} + bound(), latest)));
  TANDEM_CHECK(slot.has_value() == slots_.has_value());
  if (slots_) slots_->Take(*slot, ticket.id(), incarnation(), &limit);
  TANDEM_CHECK(to_issue_ > 0);
  --to_issue_;
  Hold(ticket.id(), limit.consume_by());
  ledger_.Issue(ticket.episodes());
  in_flight_.insert_or_assign(in_flight_.end(), ticket.id(),
                              InFlight{ticket.task(), ticket.seed(), ticket.episodes(), ticket.rerun()});
  return limit;
}

void Lane::Hold(uint64_t ticket, int64_t due) {
  gate_.Add(due);
  held_.insert_or_assign(held_.end(), ticket, due);
}

void Lane::Release(uint64_t ticket) {
  const auto held = held_.find(ticket);
  TANDEM_CHECK(held != held_.end());
  gate_.Remove(held->second);
  held_.erase(held);
}

void Lane::NotePartners(const proto::Ticket& ticket) {
  const auto it = in_flight_.find(ticket.id());
  if (drift_bound() && it != in_flight_.end()) it->second.partners = PartnersOf(ticket, policy());
}

std::optional<int64_t> Lane::OldestOf(const std::string& partner) const {
  std::optional<int64_t> oldest = batcher_.OldestOf(partner);
  for (const auto& [ticket, played] : in_flight_) TakeOldest(played.partners, partner, &oldest);
  return oldest;
}

void Lane::IssueAgain(uint64_t ticket) {
  ++to_issue_;
  if (slots_) slots_->Reopen(ticket);
}

void Lane::Reissue(uint64_t ticket) {
  const auto it = in_flight_.find(ticket);
  if (it != in_flight_.end()) ledger_.Reissue(it->second.episodes);
}

void Lane::Arrive(const GroupPtr& group) {
  const uint64_t ticket = group->header.ticket().id();
  if (const auto why = given_up_.find(ticket); why != given_up_.end()) {
    rejections_.push_back({why->second, group});
    given_up_.erase(why);
  }
  const auto it = in_flight_.find(ticket);
  if (it == in_flight_.end()) return;
  Release(ticket);
  ledger_.Arrive(it->second.episodes);
  in_flight_.erase(it);
  const int64_t due = batcher_.Arrive(group, slots_ ? std::optional(slots_->StepOf(ticket)) : std::nullopt);
  Hold(ticket, KeepsLate() && due < next() ? kNeverDue : due);
}

void Lane::RejectLate(const std::vector<proto::PolicyVersion>& versions) {
  for (const Batcher::Entry& entry : batcher_.TakeStale(next())) Reject(entry, "stale");
  for (const Batcher::Entry& entry : batcher_.TakeDrifted(versions)) RejectDrifted(entry);
}

bool Lane::TryCut(const std::vector<proto::PolicyVersion>& versions, double now) {
  if (batch_ || !version_ || complete()) return false;
  const int64_t start = next();
  RejectLate(versions);
  auto cut = batcher_.TryCut(start, gate_);
  if (!cut) return false;
  batch_.emplace();
  batch_->header.set_policy(policy());
  batch_->header.set_purpose(proto::TRAIN);
  batch_->header.set_step(*version_);
  batch_->cut_s = now;
  if (on_limit() == proto::MASK) batch_->masked = {start - int64_t{bound()}, drift_bound()};
  batch_->versions = versions;
  batch_->groups = *std::move(cut);
  for (const Batcher::Entry& entry : batch_->groups) Release(entry.group->header.ticket().id());
  NoteOverBound(batch_->groups);
  LeaveBehind();
  return true;
}

void Lane::FillBatch(proto::Batch* batch, std::vector<wire::Frame>* frames) const {
  *batch = batch_->header;
  tandem::FillBatch(batch_->groups, batch_->versions, batch_->cut_s, incarnation(), batch_->masked, batch, frames);
}

void Lane::NoteOverBound(const std::vector<Batcher::Entry>& cut) {
  const Beyond beyond = {int64_t{*version_} - int64_t{bound()}, drift_bound()};
  for (const Batcher::Entry& entry : cut) {
    if (!entry.versions || (entry.versions->oldest >= beyond.before && !beyond.drift)) continue;
    const uint32_t tokens = TokensBeyond(entry.group->header, policy(), incarnation(), beyond, batch_->versions);
    if (tokens > 0) over_bound_.push_back({entry.group, tokens, entry.versions->oldest});
  }
}

void Lane::Reject(const Batcher::Entry& entry, const std::string& reason) {
  Release(entry.group->header.ticket().id());
  ledger_.RejectBuffered(entry.group->header.episodes_size(), reason);
  rejections_.push_back({reason, entry.group});
  IssueAgain(entry.group->header.ticket().id());
}

// Under rerun played once more; otherwise another group takes its place.
void Lane::RejectDrifted(const Batcher::Entry& entry) {
  const proto::Ticket& ticket = entry.group->header.ticket();
  const InFlight again = {ticket.task(), ticket.seed(), ticket.episodes(), ticket.rerun()};
  Reject(entry, on_limit() == proto::RERUN ? GiveUp(again) : "drift");
}

// Under pace nothing is left behind; and what is over the bound all the same, since its worker ignored the ticket, is
// taken out by the consumption check.
void Lane::LeaveBehind() {
  if (on_limit() == proto::PACE) return;
  if (KeepsLate()) {
    // They cannot be consumed in time any more, so they must not keep the gate from admitting others.
    for (const Batcher::Entry& entry : batcher_.Overdue(next())) {
      Release(entry.group->header.ticket().id());
      Hold(entry.group->header.ticket().id(), kNeverDue);
    }
  } else {
    for (const Batcher::Entry& entry : batcher_.TakeOverdue(next())) {
      const proto::Ticket& ticket = entry.group->header.ticket();
      Reject(entry, GiveUp({ticket.task(), ticket.seed(), ticket.episodes(), ticket.rerun()}));
    }
  }
  for (auto it = in_flight_.begin(); it != in_flight_.end();) {
    const auto& [id, ticket] = *it;
    if (held_.at(id) >= next()) {
      ++it;
      continue;
    }
    Release(id);
    if (KeepsLate()) {
      Hold(id, kNeverDue);
      ++it;
      continue;
    }
    const std::string reason = GiveUp(ticket);
    ledger_.RejectInFlight(ticket.episodes, reason);
    given_up_[id] = reason;  // its length and reward are counted once it is here
    IssueAgain(id);
    it = in_flight_.erase(it);
  }
}

// Why the group of this ticket is not trained on.
std::string Lane::GiveUp(const InFlight& ticket) {
  if (on_limit() == proto::DROP) return "dropped";
  if (ticket.rerun >= options_.batcher.reruns) return "given_up";
  reruns_.push_back({ticket.task, ticket.seed, ticket.rerun + 1});
  return "rerun";
}

void Lane::RejectBatch(const std::string& reason) {
  TANDEM_CHECK(batch_.has_value());
  for (const Batcher::Entry& entry : batch_->groups) {
    ledger_.RejectBuffered(entry.group->header.episodes_size(), reason);
    rejections_.push_back({reason, entry.group});
    IssueAgain(entry.group->header.ticket().id());
  }
  batch_.reset();
}

}  // namespace tandem
