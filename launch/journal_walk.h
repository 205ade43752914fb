// Goes through the journal of a run, with an exchange that does again what the run's did.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "exchange/exchange.h"
#include "exchange/journal.h"
#include "exchange/link.h"
#include "launch/journaled_run.h"

namespace tandem {

// What a derived class does is in its hooks; they are called in the order in which things happened. Not thread-safe.
class JournalWalk : public Outlet {
 public:
  explicit JournalWalk(JournaledRun run) : run_(std::move(run)) {}

  // Up to the end, or the first error of a hook. `after_each` gets the share of the journal that is done.
  absl::Status Walk(const std::function<void(double)>& after_each);

  // ---- Outlet
  uint64_t Journal(const proto::JournalEvent&) final { return 0; }
  GroupPtr ReadBack(uint64_t place) final;
  void KeepWeights(const std::string&, const std::vector<wire::Frame>&) final {}
  void Reply(wire::SessionId session, uint64_t call, proto::Header header, std::vector<wire::Frame> frames) final;
  void Missing(wire::SessionId, uint64_t, const std::string&) final {}
  void Announce(const proto::Announcement&) final {}
  void Metrics(std::string_view, const google::protobuf::Message&, double) override {}
  void Sample(const proto::Group&, uint32_t, double) override {}
  void Inform(const std::string&) final {}
  void Warn(const std::string&) final {}

 protected:
  // A trainer was given a batch: one with groups, perhaps more than once.
  virtual void OnBatch(TrainingBatch batch) = 0;
  // A supervised step was done; a version published, or a step not taken. Before the exchange hears of it.
  virtual absl::Status OnSftStep(const std::string& policy, const proto::StepDone& done) = 0;
  virtual absl::Status OnCommit(const std::string& policy, const proto::WeightsCommit& commit) = 0;
  // A group is accepted. Before the exchange hears of it, and cuts a batch with it.
  virtual absl::Status OnGroup(const GroupPtr& group) = 0;

  const JournaledRun& run() const { return run_; }
  const Exchange& exchange() const { return *exchange_; }

 private:
  absl::Status Pass(const JournalEntry& entry);
  absl::Status CheckItReachesTheEnd() const;

  const JournaledRun run_;
  std::unique_ptr<Exchange> exchange_;
  std::map<uint64_t, std::string> policies_;  // of trainers, by session
};

}  // namespace tandem
