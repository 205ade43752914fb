// What the exchange keeps for one policy: its versions, gate, ledger, arrived groups and the batch being trained on.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "exchange/arrived_group.h"
#include "exchange/batcher.h"
#include "exchange/gate.h"
#include "exchange/ledger.h"
#include "exchange/weight_store.h"
#include "proto/message.pb.h"

namespace tandem {

struct LaneOptions {
  BatcherOptions batcher;
  uint32_t first_version = 0;  // the first one published in this incarnation
  uint32_t last_version = 0;   // of the run: train.steps
};

// A group that this policy's batches go without. One that is given up while it is played comes up once it has arrived.
struct Rejection {
  std::string reason;  // "stale", "dropped", "non_finite"
  GroupPtr group;
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
  bool Admits() const;
  // Writes a ticket down as issued and returns its limit. Not `counted`: other policies train on it, this one doesn't.
  proto::TicketLimit Issue(uint64_t ticket, uint32_t episodes, bool counted);
  bool Plays(uint64_t ticket) const { return in_flight_.contains(ticket); }
  void Reissue(uint64_t ticket);
  void CountDuplicate(uint32_t episodes) { ledger_.Duplicate(episodes); }
  // A group has arrived; nothing happens when this policy does not train on it.
  void Arrive(const GroupPtr& group);

  // ---- batches
  // Cuts the batch of the next step, when that is possible and none is in training.
  bool TryCut(const std::vector<proto::PolicyVersion>& versions, double now);
  // The batch of the step from version(), once it is cut; the same until that step is over.
  const proto::Batch* batch() const { return batch_ ? &batch_->header : nullptr; }
  const std::vector<wire::Frame>& batch_frames() const { return batch_->frames; }
  // The batch's step was not taken; the next batch is for the same step.
  void RejectBatch(const std::string& reason);
  size_t arrived() const { return batcher_.size(); }

  // Rejections since the last call.
  std::vector<Rejection> TakeRejections() { return std::exchange(rejections_, {}); }

  const std::string& policy() const { return options_.batcher.policy; }
  uint32_t bound() const { return options_.batcher.bound; }
  uint32_t groups_per_step() const { return options_.batcher.groups_per_step; }
  const Ledger& ledger() const { return ledger_; }
  WeightStore& store() { return store_; }
  const WeightStore& store() const { return store_; }

 private:
  struct Unit {
    int64_t due;
    uint32_t episodes;
  };
  struct Cut {
    proto::Batch header;
    std::vector<wire::Frame> frames;
    std::vector<GroupPtr> groups;
  };

  void Reject(const Batcher::Entry& entry, const std::string& reason);
  void DropOverdue();

  LaneOptions options_;
  Gate gate_;  // units in flight and in batcher_
  Ledger ledger_;
  Batcher batcher_;
  WeightStore store_;
  std::optional<uint32_t> version_;
  uint64_t to_issue_;
  std::map<uint64_t, Unit> in_flight_;  // by ticket
  std::set<uint64_t> dropped_;          // tickets given up while they were played
  std::optional<Cut> batch_;
  std::vector<Rejection> rejections_;
};

}  // namespace tandem
