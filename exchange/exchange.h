// Where rollout and trainers meet: hands out tickets, takes in groups, cuts batches, keeps versions.
//
// A state machine without clock, socket or thread: events go in, what is to be said goes to an Outlet, and the same
// events at the same times have the same effect. Calls that cannot be answered yet (a ticket that the gate does not
// admit, a batch that cannot be cut, a version that is not there) are kept and answered as soon as they can be.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "exchange/attendance.h"
#include "exchange/batch_archive.h"
#include "exchange/evaluation.h"
#include "exchange/lane.h"
#include "exchange/outlet.h"
#include "exchange/overlap.h"
#include "exchange/stages.h"
#include "exchange/ticket_book.h"
#include "exchange/warm_start.h"
#include "proto/config.pb.h"
#include "proto/message.pb.h"

namespace tandem {

struct ExchangeOptions {
  proto::Config config;
  std::string run_name;
  uint32_t incarnation = 0;
  std::map<std::string, ResumePoint> resume;  // policies that do not start afresh
  LagModels lags;                             // lag injection
  double began_s = 0;                         // the first `now`: peers are waited for from then on
  double slow_policy_s = 30;                  // tickets that wait for a policy for so long are worth a warning
};

// `now`, seconds of the run's clock, never goes back. Thread-compatible.
class Exchange {
 public:
  // `outlet` must outlive the exchange.
  Exchange(ExchangeOptions options, Outlet* outlet);

  void Joined(double now, wire::SessionId session, const proto::Hello& hello);
  void Lost(double now, wire::SessionId session, const std::string& why);
  void Left(double now, wire::SessionId session);  // of its own accord
  // A call, of which the groups have passed CheckGroup (proto/group.h). Answered at once or later; one that makes no
  // sense is answered with a refusal that says why.
  void Call(double now, wire::SessionId session, uint64_t call, wire::Packet packet);
  void Heartbeat(double now, wire::SessionId session, const proto::RolloutMetrics& metrics);
  // Says what waiting calls wait for, and which policy holds tickets up. Call about once a second.
  void Tick(double now);
  // Ends the run: everybody is told at the next call, steps that are being taken may still be published.
  void Stop(double now);

  // ---- going on where another exchange died, from what it wrote down (Outlet::Journal)
  // Does again what the event did, without writing it down anew. kDataLoss: it cannot be read.
  absl::Status Recall(const proto::JournalEvent& event, uint64_t place);
  // All has been recalled. Weights are not in the journal: trainers are asked to publish their newest version again.
  void Recovered(double now);

  // Not OK when somebody without whom the run cannot go on has been missing for transport.connect_s.
  absl::Status Health(double now) const;

  Stage stage() const { return stages_.stage(); }
  bool stopping() const { return stopping_; }
  // Whether the run is over: finished or stopping; whether then every trainer has been told; and whether all have left.
  bool over() const { return stopping_ || stage() == Stage::kFinished; }
  bool TrainersTold() const { return over() && attendance_.TrainersTold(); }
  bool NobodyHere() const { return attendance_.NobodyHere(); }

  proto::Welcome MakeWelcome(double now) const;
  std::vector<proto::PolicyVersion> Versions() const;  // newest of each policy that has one
  const Lane& lane(const std::string& policy) const { return lanes_.at(policy); }
  const WarmStart& warm_start() const { return warm_start_; }
  // Workers that wait for a ticket, and the policies whose gates are why.
  size_t tickets_waited_for() const { return ticket_waits_.size(); }
  const std::set<std::string>& held_up_by() const { return held_up_by_; }

 private:
  struct Address {
    wire::SessionId session;
    uint64_t call;
  };
  struct TicketWait {
    Address from;
    uint32_t credit;
    proto::TicketGrant grant;
  };
  struct BatchWait {
    Address from;
    uint32_t rank;
    proto::BatchRequest request;
  };
  struct FetchWait {
    Address from;
    std::string policy;
    proto::Version least;
    bool in_order;  // the oldest kept rather than the newest
  };

  // exchange_journal.cc: what is written down
  uint64_t Note(const proto::JournalEvent& event);
  uint64_t NoteCall(double now, const Address& from, const proto::Header& header,
                    const std::vector<wire::Frame>& frames = {});

  // exchange.cc: events, stages, answers
  void Gone(double now, wire::SessionId session, const std::string& how, bool expected);
  void Settle(double now);
  bool AdvanceStage(double now);
  void EnterStage(double now);
  void Answer(const Address& to, proto::Header header, std::vector<wire::Frame> frames = {});
  void Refuse(const Address& to, const absl::Status& status);
  void Acknowledge(const Address& to) { Answer(to, AckHeader()); }
  static proto::Header AckHeader();
  // The policy that a trainer's call is about; one without a name is about the trainer's own.
  std::string PolicyOf(const Address& from, const std::string& named) const;
  absl::Status CheckTrainer(const Address& from, const std::string& policy, bool first_rank) const;
  void WriteRejections(Lane& lane, double now);
  void WriteOverBound(Lane& lane, double now);
  void WriteLedger(const Lane& lane, double now);

  // exchange_tickets.cc: tickets out, groups in
  void OnTicketRequest(const Address& from, const proto::TicketRequest& request);
  bool ServeTickets(double now);
  std::optional<proto::Ticket> NextTicket(wire::SessionId worker, double now);
  std::optional<proto::Ticket> NextSftTicket(wire::SessionId worker, double now);
  std::optional<proto::Ticket> NextEvalTicket(wire::SessionId worker, double now);
  std::optional<proto::Ticket> NextTrainTicket(wire::SessionId worker, double now);
  int64_t LatestFor(const Lane& lane) const;
  static std::optional<uint64_t> ChooseSlot(const std::vector<const Lane*>& lanes);
  void ChooseTask(uint64_t most, std::optional<uint64_t> slot, proto::Ticket* ticket);
  uint64_t SlotTask(uint64_t slot);
  uint64_t FreshTask();
  void OnGroup(double now, const Address& from, wire::Packet packet);
  void NoteGroup(double now, const Address& from, const wire::Packet& packet, ArrivedGroup* group);
  absl::Status CheckClaims(const proto::Group& group, const proto::Ticket& ticket) const;
  void TakeIn(double now, const GroupPtr& group);

  // exchange_training.cc: batches
  void OnBatchRequest(const Address& from, proto::BatchRequest request);
  bool ServeBatches(double now);
  bool BeganBeforeStop(const BatchWait& wait) const;
  const Lane* WaitsFor(const Lane& lane) const;
  bool CutsNow(const Lane& lane) const;
  void AnswerStopping(const BatchWait& wait);
  bool AskForWeights(const BatchWait& wait);
  bool ServePastBatch(const BatchWait& wait);
  bool ServeTrainBatch(Lane& lane, const BatchWait& wait);
  bool ServeSftBatch(const BatchWait& wait, double now);
  std::string MissingOf(const BatchWait& wait) const;
  void OnStepDone(double now, const Address& from, proto::StepDone done);

  // exchange_weights.cc: versions
  void OnWeightsBegin(const Address& from, proto::WeightsBegin begin);
  void OnWeightsChunk(const Address& from, proto::WeightsChunk chunk, const std::vector<wire::Frame>& frames);
  void OnWeightsCommit(double now, const Address& from, const proto::Header& header);
  void AskToBegin(const Address& from, const std::string& policy, const proto::Version& version);
  void OnRejectedStep(double now, const Address& from, const proto::WeightsCommit& commit);
  void Archive(const Lane& lane);
  void Published(Lane& lane, uint32_t number, const proto::StepMetrics& metrics, double now);
  void ServeFetches();
  void WarnOfFewSamples(const proto::StepMetrics& step, double now);
  static proto::Header BeginHeader(const std::string& policy, const StoredWeights& weights);

  ExchangeOptions options_;
  Outlet* outlet_;
  Stages stages_;
  std::map<std::string, Lane> lanes_;
  WarmStart warm_start_;
  TicketBook book_;
  Overlap overlap_;
  Attendance attendance_;
  std::optional<Evaluation> evaluation_;
  bool stopping_ = false;
  std::optional<uint64_t> recalled_place_;  // of the event that is being recalled
  std::set<std::string> lost_weights_;      // policies whose newest version has to be published again
  BatchArchive archive_;

  std::deque<TicketWait> ticket_waits_;
  std::deque<BatchWait> batch_waits_;
  std::deque<FetchWait> fetch_waits_;
  std::map<std::string, std::set<wire::SessionId>> served_;  // ranks > 0 that have the batch in training, by policy
  std::map<std::string, uint32_t> sft_served_;               // supervised batches that a rank has been given, by policy
  std::map<uint64_t, uint64_t> slot_issued_;                 // how often; lag injection
  std::map<std::string, double> step_began_s_;               // when a policy's last version was published
  std::map<std::string, double> few_samples_warned_s_;       // by policy
  std::map<uint64_t, uint64_t> sft_numbers_;                 // ticket -> number of the scripted episode
  uint64_t train_tickets_ = 0;                               // issued in this incarnation
  uint32_t eval_tickets_ = 0;                                // issued in this evaluation
  std::set<std::string> held_up_by_;                         // policies whose gate refused the last train ticket
  double held_up_since_ = 0;
  double last_warning_s_ = 0;
};

}  // namespace tandem
