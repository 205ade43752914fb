// The workers and trainers of a run in virtual time, around a real exchange.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "exchange/exchange.h"
#include "study/simulation/events.h"
#include "study/simulation/installed_versions.h"
#include "study/simulation/machine.h"
#include "study/simulation/virtual_run.h"
#include "study/simulation/virtual_worker.h"
#include "study/simulation/workload.h"

namespace tandem {

// Not thread-safe.
class VirtualTeam final : public Outlet {
 public:
  VirtualTeam(const VirtualRunOptions& options, LagModels lags);
  ~VirtualTeam() override;

  // Everybody joins, and asks for what it needs.
  void Begin();

  Events& events() { return events_; }
  Machine& machine() { return machine_; }
  const Exchange& exchange() const { return *exchange_; }
  const proto::Config& config() const { return config_; }
  bool finished() const { return exchange_->stage() == Stage::kFinished; }
  // What a run that stands still waits for.
  std::string Waiting();

  uint64_t playing() const { return playing_; }  // groups
  bool has_room() const { return asking_ > 0; }  // whether a worker waits for a ticket
  bool exchange_computes() const { return !served_.empty(); }
  bool training(const std::string& policy) const { return trainers_.at(policy).training; }
  uint64_t issued() const { return issued_; }
  const Rejections& rejected(const std::string& policy) const { return rejected_.at(policy); }
  double played_s() const { return played_s_; }  // of all groups that have ended, together

  // Called when a trainer begins a step, and when it has published.
  std::function<void(const proto::Batch&)> on_batch = [](const proto::Batch&) {};
  std::function<void()> on_published = [] {};

  // ---- Outlet
  uint64_t Journal(const proto::JournalEvent&) override { return 0; }
  GroupPtr ReadBack(uint64_t) override { return nullptr; }
  void KeepWeights(const std::string&, const std::vector<wire::Frame>&) override {}
  std::vector<wire::Frame> KeptWeights(const std::string&) override { return {}; }
  void Reply(wire::SessionId session, uint64_t call, proto::Header header, std::vector<wire::Frame> frames) override;
  void Missing(wire::SessionId, uint64_t, const std::string& missing) override { missing_ = missing; }
  void Announce(const proto::Announcement&) override {}
  void Metrics(std::string_view kind, const google::protobuf::Message& values, double now) override;
  void Sample(const proto::Group&, uint32_t, double) override {}
  void Inform(const std::string&) override {}
  void Warn(const std::string&) override {}

 private:
  struct Worker {
    uint32_t playing = 0;
    bool asked = false;
    std::unique_ptr<VirtualWorker> player;
  };
  struct Trainer {
    wire::SessionId session = 0;
    bool training = false;
    InstalledVersions versions;
  };

  using TicketPtr = std::shared_ptr<const proto::Ticket>;

  void Call(wire::SessionId session, proto::Header header, std::vector<wire::Frame> frames = {});
  void Serve(std::function<void()> call);
  void ServeNext();
  // Workers
  void Ask(wire::SessionId session);
  void Play(wire::SessionId session, const TicketPtr& ticket);
  void Finish(wire::SessionId session, const TicketPtr& ticket, double start_s);
  void AddTurn(const proto::TicketLimit& limit, double start_s, proto::Episode* episode) const;
  // Trainers
  void AskForBatch(const std::string& policy, uint32_t step);
  void Train(const proto::Batch& batch);
  void Publish(const std::string& policy, uint32_t number);
  double Progress() const;  // of the slowest policy: share of its steps

  const proto::Config config_;
  const uint32_t worker_count_;
  const Workload work_;
  Events events_;
  Machine machine_;
  RandomStream random_;
  std::unique_ptr<Exchange> exchange_;
  std::map<wire::SessionId, Worker> workers_;
  std::map<std::string, Trainer> trainers_;
  std::deque<std::function<void()>> served_;  // calls that the exchange has yet to take in; the first one is in work
  std::vector<wire::Frame> frames_;
  uint64_t last_call_ = 0, playing_ = 0, asking_ = 0, issued_ = 0;
  std::map<uint64_t, double> took_s_;  // by ticket: how long it was played
  double played_s_ = 0;
  std::map<std::string, Rejections> rejected_;  // by policy
  std::string missing_, refusal_;
};

}  // namespace tandem
