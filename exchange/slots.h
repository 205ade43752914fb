// Under lag injection, which group of which step is still to be issued. Places are called slots and counted over the
// steps from version 0 on: slot s belongs to the step from version s / groups_per_step.
//
// A slot of step c and lag k is written by version max(c - k, first), so it may be issued once that is published, and
// nothing but the step from c trains on it: its staleness is k, whatever the hardware. Slots are issued as early as
// that, so up to (largest lag + 1) batches are in play or buffered.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "exchange/lag.h"
#include "proto/message.pb.h"

namespace tandem {

// Thread-compatible.
class Slots {
 public:
  // Of the steps from versions first .. last - 1.
  Slots(LagModel lag, uint32_t first, uint32_t last, uint32_t groups_per_step);

  // The lowest open slot from `from` on; none that could not be issued whatever its lag when `newest` is the newest
  // version.
  std::optional<uint64_t> NextOpen(uint64_t from, uint32_t newest) const;
  bool IsOpen(uint64_t slot) const { return open_.contains(slot); }
  // Whether the versions that write it are there.
  bool MayIssue(uint64_t slot, uint32_t newest) const;
  // Whether any slot may be issued.
  bool MayIssueAny(uint32_t newest) const;

  // An open slot is issued with `ticket`. Fills in writers, least and consume_by.
  void Take(uint64_t slot, uint64_t ticket, uint32_t incarnation, proto::TicketLimit* limit);

  // The step from this version trains on the ticket's group.
  uint32_t StepOf(uint64_t ticket) const { return static_cast<uint32_t>(taken_.at(ticket) / groups_per_step_); }

  // The ticket's group was trained on; or it won't be, and its slot is open again.
  void Close(uint64_t ticket) { taken_.erase(ticket); }
  void Reopen(uint64_t ticket);

 private:
  uint32_t Written(uint64_t slot, uint32_t lag) const;

  LagModel lag_;
  uint32_t first_, groups_per_step_;
  std::set<uint64_t> open_;
  std::map<uint64_t, uint64_t> taken_;  // by ticket
};

}  // namespace tandem
