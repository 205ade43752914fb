// The supervised part before version 0: which scripted episodes are wanted, and which batch each belongs to.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "exchange/arrived_group.h"
#include "exchange/ledger.h"

namespace tandem {

// Scripted episodes are numbered over the whole run; supervised step s of every policy takes episodes
// [s * episodes_per_step, (s + 1) * episodes_per_step), whenever and from whomever they come. Policies step through
// them at their own pace, the fastest at most kAhead steps before the slowest. Its ledgers are its own: these units are
// not those of the reinforcement part. Thread-compatible.
class WarmStart {
 public:
  static constexpr uint32_t kAhead = 8;

  // `first_step`: of each policy; `steps` for a policy that has no supervised step left.
  WarmStart(uint32_t steps, uint32_t episodes_per_step, const std::map<std::string, uint32_t>& first_step);

  // The number of the next episode to start, or nullopt when none is wanted now. Take writes it down as issued.
  std::optional<uint64_t> Next() const;
  void Take(uint64_t number);

  void Arrive(uint64_t number, GroupPtr group);

  // The groups of a step, in order; nullopt while some are missing. A step that is done, or not one of this run, is a
  // bug: ask Wanted first.
  std::optional<std::vector<GroupPtr>> Batch(uint32_t step) const;
  uint32_t MissingOf(uint32_t step) const;
  // Those that are here of a step, in order.
  std::vector<GroupPtr> Arrived(uint32_t step) const;
  bool Wanted(const std::string& policy, uint32_t step) const;

  // Policy `policy` is done with `step`. False when that is not the step it is at.
  bool Finish(const std::string& policy, uint32_t step);

  uint32_t steps() const { return steps_; }
  uint32_t step_of(const std::string& policy) const { return lanes_.at(policy).step; }
  const Ledger& ledger(const std::string& policy) const { return lanes_.at(policy).ledger; }

 private:
  struct Lane {
    uint32_t first;
    uint32_t step;
    Ledger ledger;
  };

  uint32_t SlowestStep() const;

  uint32_t steps_;
  uint32_t per_step_;
  std::map<std::string, Lane> lanes_;
  uint64_t next_;
  std::map<uint64_t, GroupPtr> arrived_;
};

}  // namespace tandem
