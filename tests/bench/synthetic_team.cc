#include "tests/bench/synthetic_team.h"

#include <deque>
#include <thread>
#include <utility>
#include <zmq.hpp>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/status.h"

namespace tandem {
namespace {

constexpr double kSweepEvery_s = 0.01;  // a thread looks after all its sessions so often: it must not spin
constexpr double kReportEvery_s = 2.5;

const RealClock& TheClock() {
  static const RealClock clock;
  return clock;
}

class WorkerSession {
 public:
  WorkerSession(std::unique_ptr<wire::Client> client, uint32_t number, double group_s)
      : link_(std::move(client)), random_(number), group_s_(group_s), next_report_s_(kReportEvery_s * Uniform()) {}

  // Does what can be done now; false: the run is over.
  absl::StatusOr<bool> Sweep(double now, const SyntheticGroup& group, std::atomic<uint64_t>* accepted) {
    while (true) {
      TANDEM_ASSIGN_OR_RETURN(std::optional<WorkerEvent> event, link_.Poll(0));
      if (!event) break;
      if (std::holds_alternative<RunFinished>(*event)) return false;
      if (auto* tickets = std::get_if<TicketsArrived>(&*event)) {
        if (tickets->grant.finished()) return false;
        ticket_ = std::move(*tickets->grant.mutable_tickets(0));
        done_s_ = now + 2 * group_s_ * Uniform();
      }
      if (auto* weights = std::get_if<WeightsArrived>(&*event)) installed_[weights->policy] = weights->version;
      if (auto* answer = std::get_if<GroupAnswered>(&*event)) {
        submitted_ = false;
        if (answer->verdict == "accepted") ++*accepted;
      }
    }
    if (!ticket_ && !submitted_ && !link_.tickets_requested()) link_.RequestTickets(1);
    if (ticket_ && now >= done_s_ && Installed(*ticket_)) {
      link_.SubmitGroup(group.For(*ticket_, installed_), group.frames());
      submitted_ = true;
      ticket_.reset();
    }
    if (now >= next_report_s_) Report(now);
    return true;
  }

 private:
  double Uniform() { return random_.Uniform(); }

  bool Installed(const proto::Ticket& ticket) {
    bool all = true;
    for (const proto::TicketLimit& limit : ticket.limits()) {
      const auto have = installed_.find(limit.policy());
      if (have != installed_.end() && have->second.number() >= limit.least().number()) continue;
      link_.FetchWeights(limit.policy(), limit.least());
      all = false;
    }
    return all;
  }

  void Report(double now) {
    next_report_s_ = now + kReportEvery_s;
    proto::RolloutMetrics metrics;
    metrics.set_interval_s(kReportEvery_s);
    link_.SetMetrics(std::move(metrics));
  }

  WorkerLink link_;
  RandomStream random_;
  double group_s_;
  double next_report_s_;
  std::map<std::string, proto::Version> installed_;
  std::optional<proto::Ticket> ticket_;
  double done_s_ = 0;
  bool submitted_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<wire::Client>> ConnectPeer(zmq::context_t& context, const std::string& endpoint,
                                                          proto::PeerKind kind, const std::string& name,
                                                          const std::string& policy) {
  wire::ClientOptions options;
  options.endpoint = endpoint;
  options.hello.set_build(kBuild);
  options.hello.set_config_digest(kConfigDigest);
  options.hello.set_kind(kind);
  options.hello.set_name(name);
  options.hello.set_policy(policy);
  return wire::Client::Connect(context, TheClock(), options);
}

absl::Status PlaySessions(const Sessions& sessions, const SyntheticGroup& group, std::atomic<uint64_t>* joined,
                          std::atomic<uint64_t>* accepted) {
  zmq::context_t context;
  context.set(zmq::ctxopt::max_sockets, static_cast<int>(2 * sessions.count + 16));
  std::deque<WorkerSession> all;
  for (uint32_t i = sessions.first; i < sessions.first + sessions.count; ++i) {
    TANDEM_ASSIGN_OR_RETURN(
        auto client, ConnectPeer(context, sessions.endpoint, proto::WORKER, absl::StrCat("worker-", i), /*policy=*/""));
    all.emplace_back(std::move(client), i, sessions.group_s);
    ++*joined;
  }
  while (true) {
    const double now = TheClock().Now();
    for (WorkerSession& session : all) {
      TANDEM_ASSIGN_OR_RETURN(const bool goes_on, session.Sweep(now, group, accepted));
      if (!goes_on) return absl::OkStatus();
    }
    const double left = now + kSweepEvery_s - TheClock().Now();
    if (left > 0) std::this_thread::sleep_for(std::chrono::duration<double>(left));
  }
}

absl::Status TrainNothing(const std::string& endpoint, const std::string& policy, size_t weight_bytes) {
  zmq::context_t context;
  TANDEM_ASSIGN_OR_RETURN(auto client,
                          ConnectPeer(context, endpoint, proto::TRAINER, absl::StrCat("trainer-", policy), policy));
  TrainerLink link(std::move(client), /*chunk_bytes=*/256 << 10);
  std::string weights(weight_bytes, 'w');
  proto::Version version;
  for (uint32_t step = 0;; ++step) {
    version.set_number(step);
    weights.replace(0, sizeof step, reinterpret_cast<const char*>(&step), sizeof step);
    TANDEM_RETURN_IF_ERROR(link.Publish(version, weights, {}));
    TANDEM_ASSIGN_OR_RETURN(const TrainingBatch batch, link.NextBatch(proto::TRAIN, step));
    if (batch.header.finished()) return absl::OkStatus();
  }
}

}  // namespace tandem
