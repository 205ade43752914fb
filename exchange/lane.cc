#include "exchange/lane.h"

#include <limits>

#include "base/status.h"

namespace tandem {

Lane::Lane(LaneOptions options)
    : options_(std::move(options)),
      gate_(options_.batcher.groups_per_step),
      ledger_(options_.batcher.policy),
      batcher_(options_.batcher),
      store_(options_.batcher.policy) {
  const uint64_t first = options_.first_version, last = options_.last_version;
  to_issue_ = first < last ? (last - first) * options_.batcher.groups_per_step : 0;
}

bool Lane::MayPublish(uint32_t number) const {
  if (!version_) return number == options_.first_version;
  return batch_ && number == *version_ + 1;
}

void Lane::Publish(uint32_t number) {
  TANDEM_CHECK(MayPublish(number));
  version_ = number;
  if (!batch_) return;
  for (const GroupPtr& group : batch_->groups) ledger_.Train(group->header.episodes_size());
  batch_.reset();
}

bool Lane::Admits() const { return version_ && gate_.Admits(next(), int64_t{*version_} + bound()); }

proto::TicketLimit Lane::Issue(uint64_t ticket, uint32_t episodes, bool counted) {
  TANDEM_CHECK(version_.has_value());
  proto::TicketLimit limit;
  limit.set_policy(policy());
  limit.mutable_least()->set_incarnation(options_.batcher.incarnation);
  limit.mutable_least()->set_number(*version_);
  if (!counted) {
    limit.set_consume_by(std::numeric_limits<uint32_t>::max());
    return limit;
  }
  const uint32_t due = *version_ + bound();
  limit.set_consume_by(due);
  TANDEM_CHECK(to_issue_ > 0);
  --to_issue_;
  gate_.Add(due);
  ledger_.Issue(episodes);
  in_flight_[ticket] = {due, episodes};
  return limit;
}

void Lane::Reissue(uint64_t ticket) {
  const auto it = in_flight_.find(ticket);
  if (it != in_flight_.end()) ledger_.Reissue(it->second.episodes);
}

void Lane::Arrive(const GroupPtr& group) {
  const uint64_t ticket = group->header.ticket().id();
  if (dropped_.erase(ticket) > 0) rejections_.push_back({"dropped", group});
  const auto it = in_flight_.find(ticket);
  if (it == in_flight_.end()) return;
  gate_.Remove(it->second.due);
  ledger_.Arrive(it->second.episodes);
  in_flight_.erase(it);
  gate_.Add(batcher_.Arrive(group));
}

bool Lane::TryCut(const std::vector<proto::PolicyVersion>& versions, double now) {
  if (batch_ || !version_ || complete()) return false;
  const int64_t start = next();
  for (const Batcher::Entry& entry : batcher_.TakeStale(start)) Reject(entry, "stale");
  const auto cut = batcher_.TryCut(start, gate_);
  if (!cut) return false;
  batch_.emplace();
  batch_->header.set_policy(policy());
  batch_->header.set_purpose(proto::TRAIN);
  batch_->header.set_step(*version_);
  FillBatch(*cut, versions, now, &batch_->header, &batch_->frames);
  for (const Batcher::Entry& entry : *cut) {
    gate_.Remove(entry.due);
    batch_->groups.push_back(entry.group);
  }
  if (options_.batcher.on_limit == proto::DROP) DropOverdue();
  return true;
}

void Lane::Reject(const Batcher::Entry& entry, const std::string& reason) {
  gate_.Remove(entry.due);
  ledger_.RejectBuffered(entry.group->header.episodes_size(), reason);
  rejections_.push_back({reason, entry.group});
  ++to_issue_;
}

void Lane::DropOverdue() {
  for (const Batcher::Entry& entry : batcher_.TakeOverdue(next())) Reject(entry, "dropped");
  for (auto it = in_flight_.begin(); it != in_flight_.end();) {
    if (it->second.due >= next()) {
      ++it;
      continue;
    }
    gate_.Remove(it->second.due);
    ledger_.RejectInFlight(it->second.episodes, "dropped");
    dropped_.insert(it->first);  // its length and reward are counted once it is here
    ++to_issue_;
    it = in_flight_.erase(it);
  }
}

void Lane::RejectBatch(const std::string& reason) {
  TANDEM_CHECK(batch_.has_value());
  for (const GroupPtr& group : batch_->groups) {
    ledger_.RejectBuffered(group->header.episodes_size(), reason);
    rejections_.push_back({reason, group});
    ++to_issue_;
  }
  batch_.reset();
}

}  // namespace tandem
