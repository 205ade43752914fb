// What the exchange keeps for one policy: its versions, gate, ledger, arrived groups and the batch being trained on.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "exchange/arrived_group.h"
#include "exchange/batcher.h"
#include "exchange/gate.h"
#include "exchange/lag.h"
#include "exchange/ledger.h"
#include "exchange/slots.h"
#include "exchange/weight_store.h"
#include "proto/message.pb.h"

namespace tandem {

struct LaneOptions {
  BatcherOptions batcher;
  uint32_t first_version = 0;  // the first one published in this incarnation
  uint32_t last_version = 0;   // of the run: train.steps
  std::optional<LagModel> lag = std::nullopt;
  size_t keep_versions = 4;  // whose weights stay readable
};

// A group that this policy's batches go without. One that is given up while it is played comes up once it has arrived.
struct Rejection {
  std::string reason;  // "stale", "drift", "dropped", "rerun", "given_up", "non_finite"
  GroupPtr group;
};

// A group in a batch that has tokens over the bound: masked out, or trained on all the same.
struct OverBound {
  GroupPtr group;
  uint32_t tokens_over;
  int64_t oldest;
};

// A task that is to be played again, and how often it was given up.
struct Rerun {
  uint64_t task, seed;
  uint32_t times;
};

// No lane knows of another: what one policy does never blocks another's batches or versions. Thread-compatible.
class Lane {
 public:
  explicit Lane(LaneOptions options);

  // ---- versions
  // The newest published version's number; nullopt before the first.
  std::optional<uint32_t> version() const { return version_; }
  // The version that the next batch to be cut starts from.
  int64_t next() const { return int64_t{version_.value_or(options_.first_version)} + (batch_ ? 1 : 0); }
  bool complete() const { return version_ && *version_ >= options_.last_version; }
  // Whether version `number` may be published now: the first one, or the one that the batch in training leads to.
  bool MayPublish(uint32_t number) const;
  // Moves on to it; the batch that led to it is trained.
  void Publish(uint32_t number);

  // ---- tickets
  // Groups still to be issued so that every step gets its batch and nothing is left over.
  uint64_t to_issue() const { return to_issue_; }
  // `latest`: the step by which a new group is due because of its partners (partner_drift.h).
  bool Admits(int64_t latest = kNeverDue) const;
  // Under lag injection: the places of groups in the steps that train on them. Null without.
  const Slots* slots() const { return slots_ ? &*slots_ : nullptr; }
  // Writes a ticket down as issued and returns its limit. Not `counted`: other policies train on it, this one doesn't.
  // `ticket` has its id, task, seed, episodes and reruns. `slot`: under lag injection, of a ticket that is counted.
  proto::TicketLimit Issue(const proto::Ticket& ticket, bool counted, std::optional<uint64_t> slot = {},
                           int64_t latest = kNeverDue);
  // The task that is next to be played again, if any.
  std::optional<Rerun> rerun() const { return reruns_.empty() ? std::nullopt : std::optional(reruns_.front()); }
  // It is being played again, with a ticket that counts for this policy.
  void TakeRerun() { reruns_.pop_front(); }
  // Under a bound on partner drift: a ticket that counts for this policy, with the limits of all.
  void NotePartners(const proto::Ticket& ticket);
  // The oldest version of the partner that wrote, or may write, in a group that is still to be trained on.
  std::optional<int64_t> OldestOf(const std::string& partner) const;
  bool Plays(uint64_t ticket) const { return in_flight_.contains(ticket); }
  void Reissue(uint64_t ticket);
  void CountDuplicate(uint32_t episodes) { ledger_.Duplicate(episodes); }
  // A group has arrived; nothing happens when this policy does not train on it.
  void Arrive(const GroupPtr& group);

  // ---- batches
  // The consumption check, on what has arrived: rejects what the next step may not train on. `versions`: the newest of
  // all policies.
  void RejectLate(const std::vector<proto::PolicyVersion>& versions);
  // Cuts the batch of the next step, when that is possible and none is in training, after that check.
  bool TryCut(const std::vector<proto::PolicyVersion>& versions, double now);
  // Whether TryCut would, but for groups that the check would reject first.
  bool MayCut() const { return !batch_ && version_ && !complete() && batcher_.MayCut(next(), gate_); }
  // The batch of the step from version(), once it is cut, without its groups; the same until that step is over.
  const proto::Batch* batch() const { return batch_ ? &batch_->header : nullptr; }
  // The batch as the trainer gets it, the same each time: `batch` with its groups, and their frames.
  void FillBatch(proto::Batch* batch, std::vector<wire::Frame>* frames) const;
  // Its groups, the versions and the time at which it was cut, and what of its tokens is masked out.
  const std::vector<Batcher::Entry>& batch_groups() const { return batch_->groups; }
  const std::vector<proto::PolicyVersion>& batch_versions() const { return batch_->versions; }
  double cut_s() const { return batch_->cut_s; }
  const Beyond& masked() const { return batch_->masked; }
  // The batch's step was not taken; the next batch is for the same step.
  void RejectBatch(const std::string& reason);
  size_t arrived() const { return batcher_.size(); }

  // Rejections since the last call.
  std::vector<Rejection> TakeRejections() { return std::exchange(rejections_, {}); }
  // Groups over the bound in batches that were cut since the last call.
  std::vector<OverBound> TakeOverBound() { return std::exchange(over_bound_, {}); }

  const std::string& policy() const { return options_.batcher.policy; }
  uint32_t bound() const { return options_.batcher.bound; }
  std::optional<uint32_t> drift_bound() const { return options_.batcher.drift_bound; }
  proto::OnLimit on_limit() const { return options_.batcher.on_limit; }
  uint32_t groups_per_step() const { return options_.batcher.groups_per_step; }
  const Ledger& ledger() const { return ledger_; }
  uint32_t incarnation() const { return options_.batcher.incarnation; }
  WeightStore& store() { return store_; }
  const WeightStore& store() const { return store_; }

 private:
  struct Cut {
    proto::Batch header;
    std::vector<Batcher::Entry> groups;  // only these: copies of their headers would be as large again
    std::vector<proto::PolicyVersion> versions;
    double cut_s = 0;
    Beyond masked = {};
  };

  struct InFlight {  // of a ticket
    uint64_t task, seed;
    uint32_t episodes, rerun;
    Partners partners = {};  // under a bound on partner drift
  };

  // Whether a group over the bound is trained on, or on its tokens within it.
  bool KeepsLate() const { return on_limit() == proto::MASK || on_limit() == proto::ACCEPT; }
  void Hold(uint64_t ticket, int64_t due);
  void Release(uint64_t ticket);
  // One more group has to be issued in the ticket's place.
  void IssueAgain(uint64_t ticket);
  void Reject(const Batcher::Entry& entry, const std::string& reason);
  void RejectDrifted(const Batcher::Entry& entry);
  void NoteOverBound(const std::vector<Batcher::Entry>& cut);
  // After a batch was cut without them: what on_limit says is done with groups that will be over the bound.
  void LeaveBehind();
  std::string GiveUp(const InFlight& ticket);

  LaneOptions options_;
  Gate gate_;                         // groups in flight and in batcher_
  std::map<uint64_t, int64_t> held_;  // by ticket: the due version that the gate has them under
  Ledger ledger_;
  Batcher batcher_;
  WeightStore store_;
  std::optional<Slots> slots_;
  std::optional<uint32_t> version_;
  uint64_t to_issue_;
  std::map<uint64_t, InFlight> in_flight_;
  std::map<uint64_t, std::string> given_up_;  // tickets given up while they were played, and why
  std::deque<Rerun> reruns_;
  std::optional<Cut> batch_;
  std::vector<Rejection> rejections_;
  std::vector<OverBound> over_bound_;
};

}  // namespace tandem
