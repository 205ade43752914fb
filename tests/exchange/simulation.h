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
#include <tuple>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "base/digest.h"
#include "base/random.h"
#include "exchange/exchange.h"
#include "exchange/outlet.h"
#include "tests/exchange/checker.h"
#include "tests/exchange/scenario.h"

namespace tandem {

class Simulation final : public Outlet {
 public:
  static constexpr uint32_t kMostDeaths = 4;        // of the exchange
  static constexpr uint64_t kMostEvents = 200'000;  // a run has 3,000, and very few have more than 30,000
  using Answer = std::function<void(const proto::Header&, const std::vector<wire::Frame>&)>;

  explicit Simulation(Scenario scenario)
      : scenario_(std::move(scenario)),
        policies_(PoliciesOf(scenario_.config)),
        checker_(scenario_),
        random_(scenario_.seed),
        exchange_(NewExchange()) {}

  const Scenario& scenario() const { return scenario_; }
  const std::vector<std::string>& policies() const { return policies_; }
  const Checker& checker() const { return checker_; }
  Checker& checker() { return checker_; }
  Exchange& exchange() { return *exchange_; }
  RandomStream& random() { return random_; }
  double now() const { return now_; }
  const std::vector<std::string>& warnings() const { return warnings_; }
  bool Chance(double probability) { return random_.Uniform() < probability; }
  double Exponential(double mean) { return -mean * std::log(1 - random_.Uniform()); }

  void After(double seconds, absl::AnyInvocable<void()> action) {
    events_.push_back({now_ + seconds, next_event_++, std::move(action)});
    std::push_heap(events_.begin(), events_.end(), Later);
  }

  // ---- peers
  wire::SessionId Join(const proto::Hello& hello) {
    const wire::SessionId session = sessions_.size();
    sessions_.push_back(true);
    Tell([&] { exchange_->Joined(now_, session, hello); });
    return session;
  }
  void Lose(wire::SessionId session) {
    if (!sessions_[session]) return;
    sessions_[session] = false;
    Tell([&] { exchange_->Lost(now_, session, "silent"); });
  }
  // Sends a call; `answer` is called unless the session is lost first.
  void Call(wire::SessionId session, std::shared_ptr<const wire::Packet> packet, Answer answer) {
    const uint64_t call = ++last_call_;
    After(Exponential(scenario_.delay_s),
          [this, session, call, packet = std::move(packet), answer = std::move(answer)]() mutable {
            if (!sessions_[session]) return;
            const Open& open = open_[call] = {std::move(answer), std::move(packet), session};
            Tell([&, packet = open.packet] { exchange_->Call(now_, session, call, *packet); });
          });
  }
  void Call(wire::SessionId session, proto::Header header, Answer answer, std::vector<wire::Frame> frames = {}) {
    Call(session, std::make_shared<const wire::Packet>(wire::Packet{std::move(header), std::move(frames)}),
         std::move(answer));
  }
  std::function<void(const proto::Announcement&)> on_announcement;

  // Runs until the exchange is finished, `done` holds, or something is violated; what was violated, or "".
  std::string Run(const std::function<bool()>& done = [] { return false; }) {
    for (uint64_t count = 0; checker_.violation().empty() && !done(); ++count) {
      if (exchange_->stage() == Stage::kFinished) {
        checker_.CheckEnd(*exchange_);
        break;
      }
      if (events_.empty() || now_ > 1e6 || count > kMostEvents) {
        checker_.Violated(
            absl::StrCat("stands still at stage ", StageName(exchange_->stage()), ", ", now_, " s:", Waiting()));
        break;
      }
      std::pop_heap(events_.begin(), events_.end(), Later);
      Event event = std::move(events_.back());
      events_.pop_back();
      now_ = event.at_s;
      event.action();
      if (count % 64 == 0) {
        missing_.clear();
        exchange_->Tick(now_);
      }
    }
    return checker_.violation();
  }

  // ---- Outlet
  uint64_t Journal(const proto::JournalEvent& event) override {
    if (scenario_.exchange_dies > 0 || scenario_.trainer_dies > 0) journal_.push_back(event);  // else nobody reads it
    if (scenario_.exchange_dies > 0) journaled_calls_.insert(event.call_number());
    return journaled_++;
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
    const bool dies = scenario_.exchange_dies > 0;
    if (dies && (header.has_ticket_grant() || header.has_group_receipt() || header.has_batch())) {
      (recalling_ ? said_again_ : said_).push_back({call, StableHash(BytesOf(header, frames))});
    }
    const auto open = open_.find(call);
    if (dying_ || (recalling_ && open == open_.end())) return;
    if (open == open_.end()) return checker_.Violated("a call was answered twice");
    Note(open->second.packet->header, header, frames);
    auto answer = std::move(open->second.answer);
    open_.erase(open);
    After(Exponential(scenario_.delay_s),
          [this, session, answer = std::move(answer), header = std::move(header), frames = std::move(frames)] {
            if (sessions_[session]) answer(header, frames);
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
    for (const std::string& policy : policies_) {
      const Lane& lane = exchange_->lane(policy);
      absl::StrAppend(&text, "\n", policy, ": version ", lane.version().value_or(0), ", next ", lane.next(), ", ",
                      lane.to_issue(), " to issue, ", lane.ledger().Metrics().ShortDebugString());
    }
    return text;
  }

  struct Event {
    double at_s;
    uint64_t number;  // of two at the same time the first that was asked for comes first
    absl::AnyInvocable<void()> action;
  };
  static bool Later(const Event& a, const Event& b) { return std::tie(a.at_s, a.number) > std::tie(b.at_s, b.number); }
  struct Open {
    Answer answer;
    std::shared_ptr<const wire::Packet> packet;
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
    checker_.Saw(kExchangeDied);
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
    for (const auto& [call, open] : open_) {  // what changed nothing is not in the journal: it is asked again
      if (journaled_calls_.contains(call)) continue;
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
  std::vector<std::string> policies_;  // sorted
  Checker checker_;
  RandomStream random_;
  double now_ = 0;
  uint64_t next_event_ = 0, last_call_ = 0;
  std::vector<Event> events_;             // a heap
  std::vector<bool> sessions_ = {false};  // whether each is alive; 0 is nobody's
  std::map<uint64_t, Open> open_;
  std::vector<std::string> warnings_;
  std::vector<proto::JournalEvent> journal_;
  uint64_t journaled_ = 0;
  std::unordered_set<uint64_t> journaled_calls_;
  std::map<std::string, std::vector<wire::Frame>> kept_;
  Said said_, said_again_;
  uint64_t lines_ = 0, lines_to_skip_ = 0;  // of metrics
  uint32_t exchange_deaths_ = 0;
  bool dying_ = false, recalling_ = false;
  std::vector<std::string> missing_;  // what calls that wait were told last
  std::unique_ptr<Exchange> exchange_;
};

}  // namespace tandem
