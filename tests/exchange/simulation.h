// A whole run in virtual time: the real Exchange, simulated workers and trainers, and a network that delays and
// reorders. What the wire promises (a call is handed out once and answered once) holds here; all else may go wrong.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/random.h"
#include "exchange/exchange.h"
#include "exchange/outlet.h"
#include "tests/exchange/checker.h"

namespace tandem {

struct Scenario {
  uint64_t seed = 0;  // of delays, durations and faults; the run's own seed is in the configuration
  proto::Config config;
  int workers = 2;
  double delay_s = 0.01;                 // mean, of a message
  double episode_s = 1;                  // typical; the tail is heavy
  std::map<std::string, double> step_s;  // of a trainer; a policy without entry: its trainer never asks for a batch
  double stall = 0;                      // probability that a step takes 50 times as long
  double non_finite = 0;                 // probability that a step is not taken
  double lifetime_s = 1e9;               // mean, of a worker
  double repeat = 0;                     // probability that a group is submitted once more
  double hears = 0.7;                    // probability that a worker hears an announcement
  double without_executor = 0.1;         // probability that a group has tokens of the first policy only
  double exchange_dies = 0;              // probability, at every event; another one goes on from its journal
  double trainer_dies = 0;               // probability, at every step; it goes on from a checkpoint
  bool obedient = true;                  // workers fetch a ticket's least versions before they start it
};

// Their names in one order: that of a protobuf map differs from process to process.
inline std::vector<std::string> PoliciesOf(const proto::Config& config) {
  std::vector<std::string> names;
  for (const auto& [name, policy] : config.policies()) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

class Simulation final : public Outlet {
 public:
  static constexpr uint32_t kMostDeaths = 4;  // of the exchange
  using Answer = std::function<void(const proto::Header&, const std::vector<wire::Frame>&)>;

  explicit Simulation(Scenario scenario)
      : scenario_(std::move(scenario)),
        checker_(scenario_.config, scenario_.obedient),
        random_(scenario_.seed),
        exchange_(NewExchange()) {}

  const Scenario& scenario() const { return scenario_; }
  const Checker& checker() const { return checker_; }
  Checker& checker() { return checker_; }
  Exchange& exchange() { return *exchange_; }
  uint32_t exchange_deaths() const { return exchange_deaths_; }
  RandomStream& random() { return random_; }
  double now() const { return now_; }
  const std::vector<std::string>& warnings() const { return warnings_; }
  bool Chance(double probability) { return random_.Uniform() < probability; }
  double Exponential(double mean) { return -mean * std::log(1 - random_.Uniform()); }

  void After(double seconds, std::function<void()> action) {
    events_.emplace(std::pair(now_ + seconds, next_event_++), std::move(action));
  }

  // ---- peers
  wire::SessionId Join(proto::Hello hello) {
    const wire::SessionId session = ++last_session_;
    sessions_[session] = true;
    Tell([&] { exchange_->Joined(now_, session, hello); });
    return session;
  }
  void Lose(wire::SessionId session) {
    if (!sessions_[session]) return;
    sessions_[session] = false;
    Tell([&] { exchange_->Lost(now_, session, "silent"); });
  }
  // Sends a call; `answer` is called unless the session is lost first.
  void Call(wire::SessionId session, proto::Header header, Answer answer, std::vector<wire::Frame> frames = {}) {
    auto packet = std::make_shared<wire::Packet>(wire::Packet{std::move(header), std::move(frames)});
    const uint64_t call = ++last_call_;
    After(Exponential(scenario_.delay_s), [this, session, call, packet, answer = std::move(answer)]() mutable {
      if (!sessions_[session]) return;
      open_[call] = {std::move(answer), packet, session};
      Tell([&] { exchange_->Call(now_, session, call, *packet); });
    });
  }
  std::function<void(const proto::Announcement&)> on_announcement;

  // Runs until the exchange is finished, `done` holds, or something is violated; what was violated, or "".
  std::string Run(const std::function<bool()>& done = [] { return false; }) {
    for (uint64_t count = 0; checker_.violation().empty() && !done(); ++count) {
      if (exchange_->stage() == Stage::kFinished) {
        checker_.CheckEnd(*exchange_);
        break;
      }
      if (events_.empty() || now_ > 1e6 || count > 600'000) {
        checker_.Violated(
            absl::StrCat("stands still at stage ", StageName(exchange_->stage()), ", ", now_, " s:", Waiting()));
        break;
      }
      auto event = events_.extract(events_.begin());
      now_ = event.key().first;
      event.mapped()();
      if (count % 64 == 0) {
        missing_.clear();
        exchange_->Tick(now_);
      }
    }
    return checker_.violation();
  }

  // ---- Outlet
  uint64_t Journal(const proto::JournalEvent& event) override {
    journal_.push_back(event);
    return journal_.size() - 1;
  }
  GroupPtr ReadBack(uint64_t place) override {
    proto::Header header;
    if (!header.ParseFromString(journal_.at(place).call())) return nullptr;
    auto group = std::make_shared<ArrivedGroup>(ArrivedGroup{header.group(), {}, place});
    for (const std::string& frame : journal_.at(place).frames()) group->frames.push_back(wire::MakeFrame(frame));
    return group;
  }
  void KeepWeights(const std::string& policy, const std::vector<wire::Frame>& chunks) override {
    kept_[policy] = chunks;
  }
  std::vector<wire::Frame> KeptWeights(const std::string& policy) override { return kept_[policy]; }
  void Reply(wire::SessionId session, uint64_t call, proto::Header header, std::vector<wire::Frame> frames) override {
    // Weights are not in the journal, so what is said of them is not recalled; all else is.
    if (header.has_ticket_grant() || header.has_group_receipt() || header.has_batch()) {
      (recalling_ ? said_again_ : said_).push_back({call, StableHash(BytesOf(header, frames))});
    }
    const auto open = open_.find(call);
    if (dying_ || (recalling_ && open == open_.end())) return;
    if (open == open_.end()) return checker_.Violated("a call was answered twice");
    Note(open->second.packet->header, header, frames);
    auto answer = std::move(open->second.answer);
    open_.erase(open);
    auto packet = std::make_shared<wire::Packet>(wire::Packet{std::move(header), std::move(frames)});
    After(Exponential(scenario_.delay_s), [this, session, answer = std::move(answer), packet] {
      if (sessions_[session]) answer(packet->header, packet->frames);
    });
  }
  void Missing(wire::SessionId, uint64_t, const std::string& missing) override { missing_.push_back(missing); }
  void Announce(const proto::Announcement& announcement) override {
    if (on_announcement && !dying_ && !recalling_) on_announcement(announcement);
  }
  void Metrics(std::string_view kind, const google::protobuf::Message& values, double) override {
    if (dying_) return;
    if (recalling_ && lines_to_skip_ > 0) {
      --lines_to_skip_;
      return;
    }
    ++lines_;
    if (kind == "rejected") checker_.Rejected(static_cast<const proto::RejectedMetrics&>(values));
    if (kind == "over_bound") checker_.OverBound(static_cast<const proto::OverBoundMetrics&>(values));
  }
  void Sample(const proto::Group&, uint32_t, double) override {}
  void Inform(const std::string&) override {}
  void Warn(const std::string& line) override { warnings_.push_back(line); }

 private:
  // What calls wait for, and how far each policy is.
  std::string Waiting() {
    missing_.clear();
    exchange_->Tick(now_);
    std::string text;
    for (const std::string& missing : missing_) absl::StrAppend(&text, "\n", missing);
    for (const std::string& policy : PoliciesOf(scenario_.config)) {
      const Lane& lane = exchange_->lane(policy);
      absl::StrAppend(&text, "\n", policy, ": version ", lane.version().value_or(0), ", next ", lane.next(), ", ",
                      lane.to_issue(), " to issue, ", lane.ledger().Metrics().ShortDebugString());
    }
    return text;
  }

  struct Open {
    Answer answer;
    std::shared_ptr<wire::Packet> packet;
    wire::SessionId session;
  };
  using Said = std::vector<std::pair<uint64_t, uint64_t>>;  // call, hash of the answer

  std::unique_ptr<Exchange> NewExchange() {
    ExchangeOptions options;
    options.config = scenario_.config;
    options.run_name = "run";
    options.lags = MakeLagModels(scenario_.config, "").value();
    return std::make_unique<Exchange>(std::move(options), this);
  }

  static std::string BytesOf(const proto::Header& header, const std::vector<wire::Frame>& frames) {
    std::string bytes = header.SerializeAsString();
    for (const wire::Frame& frame : frames) bytes += *frame;
    return bytes;
  }

  // Another exchange goes on from the journal. It must say again what the one before it said.
  void Recover() {
    ++exchange_deaths_;
    exchange_ = NewExchange();
    said_again_.clear();
    lines_to_skip_ = lines_;
    recalling_ = true;
    for (size_t place = 0; place < journal_.size(); ++place) {
      if (!exchange_->Recall(journal_[place], place).ok()) checker_.Violated("an event that cannot be recalled");
    }
    recalling_ = false;
    if (said_again_ != said_) checker_.Violated("an exchange that went on from the journal said something else");
    if (lines_to_skip_ > 0) checker_.Violated("an exchange that went on from the journal measured less");
    exchange_->Recovered(now_);
    for (const auto& [call, open] : open_) {  // what only asks is not in the journal: it is asked again
      const proto::Header& header = open.packet->header;
      if (!header.has_weights_begin() && !header.has_weights_chunk()) continue;
      After(Exponential(1), [this, call = call, open = open, deaths = exchange_deaths_] {
        if (deaths != exchange_deaths_ || !open_.contains(call) || !sessions_[open.session]) return;
        Tell([&] { exchange_->Call(now_, open.session, call, *open.packet); });
      });
    }
  }

  template <typename F>
  void Tell(F event) {
    const bool dies = scenario_.exchange_dies > 0 && exchange_deaths_ < kMostDeaths && Chance(scenario_.exchange_dies);
    dying_ = dies && Chance(0.5);  // with the event written down, and before anybody heard
    event();
    dying_ = false;
    if (dies) Recover();
    checker_.CheckLedgers(*exchange_);
  }

  void Note(const proto::Header& call, const proto::Header& reply, const std::vector<wire::Frame>& frames) {
    if (reply.has_refusal()) return checker_.Violated(absl::StrCat("refused: ", reply.refusal().reason()));
    for (const proto::Ticket& ticket : reply.ticket_grant().tickets()) checker_.Granted(ticket);
    if (reply.has_group_receipt()) checker_.Answered(call.group().ticket(), reply.group_receipt().verdict());
    if (reply.has_batch() && !reply.batch().finished() && !reply.batch().publish_again() &&
        reply.batch().purpose() == proto::TRAIN) {
      checker_.Given(reply.batch(), frames);
    }
    if (!call.has_weights_commit() || reply.has_weights_begin()) return;
    const proto::WeightsCommit& commit = call.weights_commit();
    commit.rejected_non_finite() ? checker_.NotTaken(commit.policy())
                                 : checker_.Published(commit.policy(), commit.version().number());
  }

  Scenario scenario_;
  Checker checker_;
  RandomStream random_;
  double now_ = 0;
  uint64_t next_event_ = 0, last_call_ = 0;
  wire::SessionId last_session_ = 0;
  std::map<std::pair<double, uint64_t>, std::function<void()>> events_;
  std::map<wire::SessionId, bool> sessions_;
  std::map<uint64_t, Open> open_;
  std::vector<std::string> warnings_;
  std::vector<proto::JournalEvent> journal_;
  std::map<std::string, std::vector<wire::Frame>> kept_;
  Said said_, said_again_;
  uint64_t lines_ = 0, lines_to_skip_ = 0;  // of metrics
  uint32_t exchange_deaths_ = 0;
  bool dying_ = false, recalling_ = false;
  std::vector<std::string> missing_;  // what calls that wait were told last
  std::unique_ptr<Exchange> exchange_;
};

}  // namespace tandem
