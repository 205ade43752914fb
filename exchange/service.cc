#include "exchange/service.h"

#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "exchange/exchange.h"
#include "exchange/metrics_writer.h"
#include "exchange/sample_episodes.h"
#include "proto/group.h"
#include "proto/wire/server.h"

namespace tandem {
namespace {

constexpr double kPoll_s = 0.1;  // how long the loop sleeps when nobody says anything
constexpr double kTickEvery_s = 1;
constexpr double kAnnounceEvery_s = 0.2;  // at the end: an announcement may be lost
constexpr double kGoodbyes_s = 1;         // those that were told leave in this time, or will without us
constexpr double kEndWithin_s = 50;       // a trainer in the middle of a step has so long to publish it

class Service final : public Outlet {
 public:
  Service(const ExchangeRun& run, const Clock& clock, const std::atomic<bool>& stop)
      : run_(run), clock_(clock), stop_(stop) {}

  absl::Status Open(zmq::context_t& context) {
    TANDEM_ASSIGN_OR_RETURN(metrics_, MetricsWriter::Create(run_.run_folder));
    TANDEM_ASSIGN_OR_RETURN(samples_, SampleEpisodes::Create(run_.run_folder, run_.config.train().steps()));
    const proto::TransportConfig& transport = run_.config.transport();
    wire::ServerOptions options;
    options.endpoint = run_.endpoint;
    options.build = run_.build;
    options.config_digest = run_.config_digest;
    options.silence_s = transport.silence_s();
    options.trainer_silence_s = transport.deadline_s();
    options.max_message_bytes = transport.max_message_bytes();
    TANDEM_ASSIGN_OR_RETURN(server_, wire::Server::Bind(context, clock_, options));
    TANDEM_ASSIGN_OR_RETURN(LagModels lags, MakeLagModels(run_.config, run_.run_folder));
    exchange_ = std::make_unique<Exchange>(
        ExchangeOptions{run_.config, run_.run_name, run_.incarnation, run_.resume, std::move(lags), clock_.Now()},
        this);
    server_->set_welcome(exchange_->MakeWelcome(clock_.Now()));
    LogInfo("listening on ", server_->endpoint());
    if (run_.on_bound) run_.on_bound(server_->endpoint());
    return absl::OkStatus();
  }

  absl::Status Serve() {
    while (!Ended()) {
      TANDEM_ASSIGN_OR_RETURN(std::optional<wire::Event> event, server_->Poll(kPoll_s));
      if (event) Handle(*std::move(event));
      const double now = clock_.Now();
      if (stop_ && !exchange_->stopping()) exchange_->Stop(now);
      if (now < next_tick_s_) continue;
      next_tick_s_ = now + kTickEvery_s;
      exchange_->Tick(now);
      if (absl::Status health = exchange_->Health(now); !health.ok()) {
        LogError(health.message());
        failure_ = std::move(health);
        exchange_->Stop(now);
      }
    }
    return failure_;
  }

  // ---- Outlet
  void Reply(wire::SessionId session, uint64_t call, proto::Header header, std::vector<wire::Frame> frames) override {
    server_->Reply(session, call, std::move(header), std::move(frames));
  }
  void Missing(wire::SessionId session, uint64_t call, const std::string& missing) override {
    server_->set_missing(session, call, missing);
  }
  void Announce(const proto::Announcement& announcement) override {
    server_->Announce(announcement);
    server_->set_welcome(exchange_->MakeWelcome(clock_.Now()));
  }
  void Metrics(std::string_view kind, const google::protobuf::Message& values, double now) override {
    metrics_->Write(kind, values, now);
  }
  void Sample(const proto::Group& group, uint32_t step, double now) override { samples_->Look(group, step, now); }
  void Inform(const std::string& line) override { LogInfo(line); }
  void Warn(const std::string& line) override { LogWarning(line); }

 private:
  void Handle(wire::Event event) {
    const double now = clock_.Now();
    switch (event.kind) {
      case wire::Event::kJoined:
        return exchange_->Joined(now, event.session, event.peer);
      case wire::Event::kLost:
        return exchange_->Lost(now, event.session, event.why);
      case wire::Event::kLeft:
        return exchange_->Left(now, event.session);
      case wire::Event::kHeartbeat:
        return exchange_->Heartbeat(now, event.session, event.packet.header.heartbeat().rollout());
      case wire::Event::kCall:
        break;
    }
    if (event.packet.header.has_group()) {
      const absl::Status status = CheckGroup(event.packet.header.group(), event.packet.frames);
      if (!status.ok()) {
        LogWarning("refused a group of ", event.peer.name(), ": ", status.message());
        proto::Header refusal;
        refusal.mutable_refusal()->set_reason(std::string(status.message()));
        return server_->Reply(event.session, event.call, std::move(refusal));
      }
    }
    exchange_->Call(now, event.session, event.call, event.packet);
  }

  // Once the run is over and everybody has said goodbye. That somebody was sent the word is not enough: ZeroMQ drops
  // what a peer has not read yet when the connection closes, so the word may have to go out again.
  bool Ended() {
    if (!exchange_->over()) return false;
    const double now = clock_.Now();
    if (!over_since_s_) over_since_s_ = now;
    if (exchange_->NobodyHere()) return true;
    if (!told_since_s_ && exchange_->TrainersTold()) told_since_s_ = now;
    if (told_since_s_ && now - *told_since_s_ >= 2 * run_.config.transport().resend_s() + kGoodbyes_s) return true;
    if (now - *over_since_s_ >= kEndWithin_s) {
      LogWarning("leaving although a trainer has not asked for its next batch within ", kEndWithin_s, " s");
      return true;
    }
    if (now >= next_announcement_s_) {
      next_announcement_s_ = now + kAnnounceEvery_s;
      proto::Announcement announcement;
      announcement.set_finished(true);
      server_->Announce(announcement);
    }
    return false;
  }

  const ExchangeRun& run_;
  const Clock& clock_;
  const std::atomic<bool>& stop_;
  std::unique_ptr<MetricsWriter> metrics_;
  std::unique_ptr<SampleEpisodes> samples_;
  std::unique_ptr<wire::Server> server_;
  std::unique_ptr<Exchange> exchange_;
  absl::Status failure_;
  double next_tick_s_ = 0, next_announcement_s_ = 0;
  std::optional<double> over_since_s_, told_since_s_;
};

}  // namespace

absl::Status RunExchange(const ExchangeRun& run, zmq::context_t& context, const std::atomic<bool>& stop) {
  const RealClock clock(run.clock_offset_s);
  Service service(run, clock, stop);
  TANDEM_RETURN_IF_ERROR(service.Open(context));
  return service.Serve();
}

}  // namespace tandem
