#include "exchange/service.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "exchange/exchange.h"
#include "exchange/journal.h"
#include "exchange/metrics_writer.h"
#include "exchange/recovery.h"
#include "exchange/sample_episodes.h"
#include "exchange/service_load.h"
#include "proto/group.h"
#include "proto/wire/server.h"

namespace tandem {
namespace {

const std::set<std::string> kNobody;

constexpr double kPoll_s = 0.1;  // how long the loop sleeps when nobody says anything
constexpr double kTickEvery_s = 1;
constexpr double kAnnounceEvery_s = 0.2;  // at the end: an announcement may be lost
constexpr double kGoodbyes_s = 1;         // those that were told leave in this time, or will without us
constexpr double kEndWithin_s = 50;       // a trainer in the middle of a step has so long to publish it

// What the server handed out for an event of the journal.
std::optional<wire::Event> ServerEventOf(const proto::JournalEvent& journaled) {
  wire::Event event{};
  event.session = journaled.session();
  if (journaled.has_joined()) {
    event.kind = wire::Event::kJoined;
    event.peer = journaled.joined();
  } else if (journaled.has_lost()) {
    event.kind = wire::Event::kLost;
    event.why = journaled.lost();
  } else if (journaled.has_left()) {
    event.kind = wire::Event::kLeft;
  } else if (journaled.has_call()) {
    event.kind = wire::Event::kCall;
    event.packet.header.ParseFromString(journaled.call());
  } else {
    return std::nullopt;
  }
  return event;
}

class Service final : public Outlet {
 public:
  Service(const ExchangeRun& run, const Clock& clock, const std::atomic<bool>& stop)
      : run_(run), clock_(clock), stop_(stop), journal_path_(JournalPath(run.run_folder, run.incarnation)) {}

  // `remains`: of an exchange that died, in whose place this one goes on.
  absl::Status Open(wire::Network& network, const std::optional<Remains>& remains) {
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
    TANDEM_ASSIGN_OR_RETURN(server_, network.Bind(clock_, options));
    // Only now: whoever has the endpoint may be writing.
    TANDEM_ASSIGN_OR_RETURN(EventWriter journal, EventWriter::Open(journal_path_));
    journal_.emplace(std::move(journal));
    if (!remains) TANDEM_RETURN_IF_ERROR(journal_->Append(OpeningOf(run_, clock_.Now())).status());
    TANDEM_ASSIGN_OR_RETURN(LagModels lags, MakeLagModels(run_.config, run_.run_folder));
    const double began_s = remains ? remains->began_s : clock_.Now();
    exchange_ = std::make_unique<Exchange>(
        ExchangeOptions{run_.config, run_.run_name, run_.incarnation, run_.resume, std::move(lags), began_s}, this);
    if (remains) TANDEM_RETURN_IF_ERROR(Recover(*remains));
    server_->set_welcome(exchange_->MakeWelcome(Now()));
    LogInfo("listening on ", server_->endpoint());
    if (run_.on_bound) run_.on_bound(server_->endpoint());
    return absl::OkStatus();
  }

  absl::Status Serve() {
    while (!Ended()) {
      const double asked_s = clock_.Now();
      TANDEM_ASSIGN_OR_RETURN(std::optional<wire::Event> event, server_->Poll(kPoll_s));
      load_.Waited(asked_s, clock_.Now(), exchange_->tickets_waited_for() > 0 ? exchange_->held_up_by() : kNobody);
      if (event) Handle(*std::move(event));
      TANDEM_RETURN_IF_ERROR(journal_failure_);
      const double now = Now();
      if (stop_ && !exchange_->stopping()) exchange_->Stop(now);
      if (now < next_tick_s_) continue;
      next_tick_s_ = now + kTickEvery_s;
      exchange_->Tick(now);
      metrics_->Write("exchange", load_.Take(now, exchange_->tickets_waited_for()), now);
      if (absl::Status health = exchange_->Health(now); !health.ok()) {
        LogError(health.message());
        failure_ = std::move(health);
        exchange_->Stop(now);
      }
    }
    return failure_;
  }

  // ---- Outlet
  uint64_t Journal(const proto::JournalEvent& event) override {
    if (!run_.writes_journal) return 0;
    const absl::StatusOr<uint64_t> place = journal_->Append(event);
    journal_failure_.Update(place.status());
    return place.value_or(0);
  }
  GroupPtr ReadBack(uint64_t place) override {
    absl::StatusOr<ArrivedGroup> group = ReadGroup(journal_path_, place);
    if (group.ok()) return std::make_shared<ArrivedGroup>(*std::move(group));
    LogError(group.status().message());
    return nullptr;
  }
  void KeepWeights(const std::string& policy, const std::vector<wire::Frame>& chunks) override {
    std::string bytes;
    for (const wire::Frame& chunk : chunks) bytes += *chunk;
    journal_failure_.Update(WriteFileAtomically(WeightsPath(policy), bytes));
  }
  std::vector<wire::Frame> KeptWeights(const std::string& policy) override {
    absl::StatusOr<std::string> bytes = ReadFile(WeightsPath(policy));
    const size_t chunk = std::max<size_t>(1, run_.config.transport().chunk_bytes());
    std::vector<wire::Frame> chunks;
    for (size_t at = 0; bytes.ok() && at < bytes->size(); at += chunk) {
      chunks.push_back(wire::MakeFrame(bytes->substr(at, chunk)));
    }
    return chunks;
  }
  void Reply(wire::SessionId session, uint64_t call, proto::Header header, std::vector<wire::Frame> frames) override {
    if (!journal_failure_.ok()) return;  // what is not written down is not said
    server_->Reply(session, call, std::move(header), std::move(frames));
  }
  void Missing(wire::SessionId session, uint64_t call, const std::string& missing) override {
    server_->set_missing(session, call, missing);
  }
  void Announce(const proto::Announcement& announcement) override {
    if (recovering_) return;
    server_->Announce(announcement);
    server_->set_welcome(exchange_->MakeWelcome(Now()));
  }
  void Metrics(std::string_view kind, const google::protobuf::Message& values, double now) override {
    if (metrics_to_skip_ > 0) {
      --metrics_to_skip_;
    } else {
      metrics_->Write(kind, values, now);
    }
  }
  void Sample(const proto::Group& group, uint32_t step, double now) override { samples_->Look(group, step, now); }
  void Inform(const std::string& line) override {
    if (!recovering_) LogInfo(line);
  }
  void Warn(const std::string& line) override {
    if (!recovering_) LogWarning(line);
  }

 private:
  std::string WeightsPath(const std::string& policy) const { return absl::StrCat(journal_path_, ".", policy); }

  // Never goes back, although the time of day, by which a clock was set anew, may.
  double Now() { return last_s_ = std::max(last_s_, clock_.Now()); }

  absl::Status Recover(const Remains& remains) {
    recovering_ = true;
    metrics_to_skip_ = remains.metrics_lines;
    samples_->Skip(remains.episode_lines);
    TANDEM_ASSIGN_OR_RETURN(EventReader reader, EventReader::Open(journal_path_));
    uint64_t events = 0;
    for (;; ++events) {
      TANDEM_ASSIGN_OR_RETURN(const std::optional<JournalEntry> entry, reader.Next());
      if (!entry) break;
      last_s_ = entry->event.now_s();
      if (const auto event = ServerEventOf(entry->event)) server_->Recall(*event);
      TANDEM_RETURN_IF_ERROR(Annotate(exchange_->Recall(entry->event, entry->place), journal_path_));
    }
    recovering_ = false;
    metrics_to_skip_ = 0;
    samples_->Skip(0);
    exchange_->Recovered(Now());
    LogInfo("an exchange before this one died; going on from its ", events, " journaled events, at stage ",
            StageName(exchange_->stage()));
    return absl::OkStatus();
  }

  void Handle(wire::Event event) {
    const double now = Now();
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
    load_.Called();
    exchange_->Call(now, event.session, event.call, std::move(event.packet));
  }

  // Once the run is over and everybody has said goodbye. That somebody was sent the word is not enough: ZeroMQ drops
  // what a peer has not read yet when the connection closes, so the word may have to go out again.
  bool Ended() {
    if (!exchange_->over()) return false;
    const double now = Now();
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
  const std::string journal_path_;
  std::optional<EventWriter> journal_;
  absl::Status journal_failure_;
  bool recovering_ = false;
  uint64_t metrics_to_skip_ = 0;
  double last_s_ = 0;
  std::unique_ptr<MetricsWriter> metrics_;
  std::unique_ptr<SampleEpisodes> samples_;
  std::unique_ptr<wire::Server> server_;
  std::unique_ptr<Exchange> exchange_;
  absl::Status failure_;
  ServiceLoad load_{clock_};
  double next_tick_s_ = 0, next_announcement_s_ = 0;
  std::optional<double> over_since_s_, told_since_s_;
};

}  // namespace

absl::Status RunExchange(const ExchangeRun& run, wire::Network& network, const std::atomic<bool>& stop) {
  TANDEM_ASSIGN_OR_RETURN(const std::optional<Remains> remains, FindRemains(run));
  const std::unique_ptr<Clock> clock = network.MakeClock(remains ? remains->clock_s : run.clock_offset_s);
  Service service(run, *clock, stop);
  TANDEM_RETURN_IF_ERROR(service.Open(network, remains));
  return service.Serve();
}

}  // namespace tandem
