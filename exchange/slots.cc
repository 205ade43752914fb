#include "exchange/slots.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace tandem {

Slots::Slots(LagModel lag, uint32_t first, uint32_t last, uint32_t groups_per_step)
    : lag_(std::move(lag)), first_(first), groups_per_step_(groups_per_step) {
  const uint64_t end = uint64_t{last} * groups_per_step;
  for (uint64_t slot = uint64_t{first} * groups_per_step; slot < end; ++slot) open_.insert(open_.end(), slot);
}

uint32_t Slots::Written(uint64_t slot, uint32_t lag) const {
  const auto step = static_cast<uint32_t>(slot / groups_per_step_);
  return std::max(first_, step > lag ? step - lag : 0);
}

std::optional<uint64_t> Slots::NextOpen(uint64_t from, uint32_t newest) const {
  const uint64_t end = (uint64_t{newest} + lag_.bound() + 1) * groups_per_step_;
  const auto slot = open_.lower_bound(from);
  return slot != open_.end() && *slot < end ? std::optional(*slot) : std::nullopt;
}

bool Slots::MayIssue(uint64_t slot, uint32_t newest) const {
  const Lag lag = lag_.Draw(slot);
  return Written(slot, lag.switch_at > 0 ? lag.then : lag.first) <= newest;
}

bool Slots::MayIssueAny(uint32_t newest) const {
  for (auto slot = NextOpen(0, newest); slot; slot = NextOpen(*slot + 1, newest)) {
    if (MayIssue(*slot, newest)) return true;
  }
  return false;
}

void Slots::Take(uint64_t slot, uint64_t ticket, uint32_t incarnation, proto::TicketLimit* limit) {
  TANDEM_CHECK(open_.erase(slot) == 1);
  taken_[ticket] = slot;
  const Lag lag = lag_.Draw(slot);
  const auto add = [&](uint32_t number, uint32_t tokens) {
    proto::VersionRun* writer = limit->add_writers();
    writer->mutable_version()->set_incarnation(incarnation);
    writer->mutable_version()->set_number(number);
    writer->set_count(tokens);
  };
  const uint32_t first = Written(slot, lag.first), then = Written(slot, lag.then);
  if (lag.switch_at == 0 || first == then) {
    add(first, 1);
  } else {
    add(first, lag.switch_at);
    add(then, 1);
  }
  *limit->mutable_least() = limit->writers(limit->writers_size() - 1).version();
  limit->set_consume_by(static_cast<uint32_t>(slot / groups_per_step_));
}

void Slots::Reopen(uint64_t ticket) {
  const auto taken = taken_.find(ticket);
  TANDEM_CHECK(taken != taken_.end());
  open_.insert(taken->second);
  taken_.erase(taken);
}

}  // namespace tandem
