// The arrived groups of one policy, and the cutting of batches from them.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "exchange/arrived_group.h"
#include "exchange/gate.h"
#include "exchange/over_bound.h"
#include "exchange/partner_drift.h"
#include "proto/config.pb.h"

namespace tandem {

struct BatcherOptions {
  std::string policy;
  uint32_t incarnation = 0;
  uint32_t groups_per_step = 1;
  uint32_t bound = 0;
  proto::OnLimit on_limit = proto::PACE;
  uint32_t reruns = 0;  // of a task, under rerun
  bool lag_injection = false;
  std::optional<uint32_t> drift_bound = {};
};

// Groups enter a batch whole. Thread-compatible.
class Batcher {
 public:
  struct Entry {
    int64_t due;  // oldest version + bound, or what a bound on drift says (partner_drift.h), or kNeverDue
    std::optional<WrittenBy> versions;
    GroupPtr group;
    Partners partners = {};  // under a bound on drift
  };

  explicit Batcher(BatcherOptions options) : options_(std::move(options)) {}

  // Takes a group in and returns its due version. `step`: under lag injection the step from this version, and no other,
  // trains on it.
  int64_t Arrive(GroupPtr group, std::optional<uint32_t> step = {});

  // The consumption check, the last line of defence: takes out every group that a step from `next` may not train on,
  // judged by the version runs alone. Under pace, drop and rerun these are the groups with a token older than the
  // bound; under mask those of which every token is; under accept none.
  std::vector<Entry> TakeStale(int64_t next);
  // The same for partner drift, when the partners are at the versions `now`: under mask those are taken of which every
  // episode is over the bound.
  std::vector<Entry> TakeDrifted(const std::vector<proto::PolicyVersion>& now);

  // The batch of the step that starts from `next`: the earliest due groups (ties: lowest ticket), in canonical order
  // (ticket id; never the order of arrival). nullopt while fewer than groups_per_step are there, and, under pace, while
  // cutting would leave groups behind that could not be consumed in time although waiting for those still being played
  // would help. `outstanding`: all groups issued and not in a batch, those arrived here among them.
  std::optional<std::vector<Entry>> TryCut(int64_t next, const Gate& outstanding);
  // Whether TryCut would.
  bool MayCut(int64_t next, const Gate& outstanding) const;

  // The groups that are overdue for a step from `next`. Take: takes them out.
  std::vector<Entry> Overdue(int64_t next) const;
  std::vector<Entry> TakeOverdue(int64_t next);

  // The oldest version of the partner that wrote in any of the groups; under a bound on partner drift.
  std::optional<int64_t> OldestOf(const std::string& partner) const;

  size_t size() const { return arrived_.size(); }

 private:
  struct EarliestFirst {
    bool operator()(const Entry& a, const Entry& b) const;
  };

  bool TooOld(const Entry& entry, int64_t next) const;
  bool TooFar(const Entry& entry, const std::vector<proto::PolicyVersion>& now) const;
  // Whether it is better to wait for groups still being played than to leave all but the first groups_per_step behind.
  bool MustWait(int64_t next, const Gate& outstanding) const;
  size_t ArrivedDueBy(int64_t step) const;

  BatcherOptions options_;
  std::set<Entry, EarliestFirst> arrived_;
};

// The groups of a cut batch as the trainer gets them: at_batch and queued_s filled in, frames appended to `frames`.
// Tokens of the policy of `batch` that are `beyond` are masked out.
void FillBatch(const std::vector<Batcher::Entry>& cut, const std::vector<proto::PolicyVersion>& versions, double now,
               uint32_t incarnation, const Beyond& beyond, proto::Batch* batch, std::vector<wire::Frame>* frames);

}  // namespace tandem
