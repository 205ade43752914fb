#include "study/virtual_run.h"

#include <algorithm>
#include <memory>
#include <queue>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "base/status.h"
#include "exchange/exchange.h"
#include "proto/group.h"

namespace tandem {
namespace {

constexpr uint32_t kTokens = 64;  // of each policy in a group, spread evenly over its time

// Groups count as one episode each: what a group consists of makes no difference to the exchange.
proto::Config Simplified(proto::Config config) {
  config.mutable_train()->set_group_size(1);
  config.mutable_sft()->set_steps(0);
  config.mutable_evaluation()->set_episodes(0);
  for (auto& [name, policy] : *config.mutable_policies()) policy.set_ranks(1);
  return config;
}

class Runner final : public Outlet {
 public:
  explicit Runner(const VirtualRunOptions& options)
      : options_(options), config_(Simplified(options.config)), random_(config_.seed()) {
    for (const auto& [name, policy] : config_.policies()) lanes_[name];
    frames_.assign(kFramesPerGroup, wire::MakeFrame(""));
    frames_[kLossMask] = wire::MakeFrame(std::string(kTokens * lanes_.size(), '\1'));
  }

  absl::StatusOr<VirtualRun> Run(LagModels lags) {
    ExchangeOptions exchange;
    exchange.config = config_;
    exchange.lags = std::move(lags);
    exchange_ = std::make_unique<Exchange>(std::move(exchange), this);
    Join();
    while (exchange_->stage() != Stage::kFinished) {
      if (events_.empty()) return absl::DeadlineExceededError(absl::StrCat("the run stands still: ", Waiting()));
      const Event event = events_.top();
      events_.pop();
      AddUp(event.time_s);
      event.action();
    }
    return Result();
  }

  // ---- Outlet
  uint64_t Journal(const proto::JournalEvent&) override { return 0; }
  GroupPtr ReadBack(uint64_t) override { return nullptr; }
  void KeepWeights(const std::string&, const std::vector<wire::Frame>&) override {}
  std::vector<wire::Frame> KeptWeights(const std::string&) override { return {}; }
  void Reply(wire::SessionId session, uint64_t, proto::Header header, std::vector<wire::Frame>) override {
    if (header.has_refusal()) refusal_ = header.refusal().reason();
    if (header.has_ticket_grant()) {
      Worker& worker = workers_.at(session);
      worker.asked = false;
      for (const proto::Ticket& ticket : header.ticket_grant().tickets()) {
        ++worker.playing;
        After(0, [this, session, ticket] { Play(session, ticket); });
      }
      After(0, [this, session] { Ask(session); });
    }
    if (header.batch().groups_size() > 0) {
      const auto batch = std::make_shared<proto::Batch>(std::move(*header.mutable_batch()));
      After(0, [this, session, batch] { Train(session, *batch); });
    }
  }
  void Missing(wire::SessionId, uint64_t, const std::string& missing) override { missing_ = missing; }
  void Announce(const proto::Announcement&) override {}
  void Metrics(std::string_view kind, const google::protobuf::Message& values, double) override {
    if (kind != "rejected") return;
    const auto& line = static_cast<const proto::RejectedMetrics&>(values);
    ++lanes_.at(line.policy()).result.rejected[line.reason()];
  }
  void Sample(const proto::Group&, uint32_t, double) override {}
  void Inform(const std::string&) override {}
  void Warn(const std::string&) override {}

 private:
  struct Event {
    double time_s;
    uint64_t number;
    std::function<void()> action;
    bool operator<(const Event& other) const {  // the queue's largest is the first
      return std::pair(time_s, number) > std::pair(other.time_s, other.number);
    }
  };
  struct Worker {
    uint32_t playing = 0;
    bool asked = false;
  };
  struct LaneState {
    wire::SessionId trainer = 0;
    bool training = false;
    std::vector<double> installed_s;  // by version: since when workers generate with it
    std::vector<double> tokens;       // trained on while measured, by age
    double over_bound = 0;            // ... and those that were not
    VirtualLane result;
  };

  void After(double seconds, std::function<void()> action) {
    events_.push({now_ + seconds, next_event_++, std::move(action)});
  }
  void Call(wire::SessionId session, const proto::Header& header, std::vector<wire::Frame> frames = {}) {
    exchange_->Call(now_, session, ++last_call_, {header, std::move(frames)});
  }

  void Join() {
    wire::SessionId session = 0;
    for (auto& [name, lane] : lanes_) {
      proto::Hello hello;
      hello.set_kind(proto::TRAINER);
      hello.set_name(absl::StrCat("trainer-", name));
      hello.set_policy(name);
      lane.trainer = ++session;
      policies_[session] = name;
      exchange_->Joined(now_, session, hello);
    }
    for (auto& [name, lane] : lanes_) {
      Publish(name, 0);
      AskForBatch(name, 0);
    }
    for (uint32_t i = 0; i < options_.workers; ++i) {
      proto::Hello hello;
      hello.set_kind(proto::WORKER);
      hello.set_name(absl::StrCat("worker-", i));
      exchange_->Joined(now_, ++session, hello);
      workers_[session];
      Ask(session);
    }
  }

  void Ask(wire::SessionId session) {
    Worker& worker = workers_.at(session);
    const uint32_t most = config_.rollout().groups_in_play();
    if (worker.asked || worker.playing >= most || exchange_->stage() == Stage::kFinished) return;
    worker.asked = true;
    proto::Header header;
    header.mutable_ticket_request()->set_credit(most - worker.playing);
    Call(session, header);
  }

  // From when its least versions, or those that it names, are installed.
  void Play(wire::SessionId session, const proto::Ticket& ticket) {
    double start_s = now_;
    for (const proto::TicketLimit& limit : ticket.limits()) {
      const uint32_t least =
          limit.writers().empty() ? limit.least().number() : limit.writers(limit.writers_size() - 1).version().number();
      start_s = std::max(start_s, lanes_.at(limit.policy()).installed_s.at(least));
    }
    const double end_s = start_s + options_.group_s(random_);
    After(end_s - now_, [this, session, ticket, start_s] { Finish(session, ticket, start_s); });
  }

  void Finish(wire::SessionId session, const proto::Ticket& ticket, double start_s) {
    proto::Header header;
    proto::Group& group = *header.mutable_group();
    group.set_format(kGroupFormat);
    *group.mutable_ticket() = ticket;
    proto::Episode& episode = *group.add_episodes();
    for (const proto::TicketLimit& limit : ticket.limits()) AddTurn(limit, start_s, &episode);
    --workers_.at(session).playing;
    Call(session, header, frames_);
    Ask(session);
  }

  void AddTurn(const proto::TicketLimit& limit, double start_s, proto::Episode* episode) const {
    proto::Turn& turn = *episode->add_turns();
    turn.set_policy(limit.policy());
    turn.set_output_tokens(kTokens);
    if (!limit.writers().empty()) {
      *turn.mutable_version_runs() = limit.writers();
      uint32_t left = kTokens;
      for (proto::VersionRun& run : *turn.mutable_version_runs()) left -= run.count();
      turn.mutable_version_runs(turn.version_runs_size() - 1)
          ->set_count(turn.version_runs(turn.version_runs_size() - 1).count() + left);
      return;
    }
    const std::vector<double>& installed_s = lanes_.at(limit.policy()).installed_s;
    uint32_t version = static_cast<uint32_t>(std::ranges::upper_bound(installed_s, start_s) - installed_s.begin()) - 1;
    for (uint32_t done = 0; done < kTokens; ++version) {
      const bool last = version + 1 == installed_s.size() || installed_s[version + 1] >= now_;
      const double until_s = last ? now_ : installed_s[version + 1];
      const double share = now_ > start_s ? (until_s - start_s) / (now_ - start_s) : 1;
      const uint32_t end = last ? kTokens : std::min(kTokens, static_cast<uint32_t>(share * kTokens));
      if (end == done && !last) continue;
      proto::VersionRun& run = *turn.add_version_runs();
      run.mutable_version()->set_number(version);
      run.set_count(end - done);
      done = end;
    }
  }

  void AskForBatch(const std::string& policy, uint32_t step) {
    if (step >= config_.train().steps()) return;
    proto::Header header;
    header.mutable_batch_request()->set_policy(policy);
    header.mutable_batch_request()->set_step(step);
    Call(lanes_.at(policy).trainer, header);
  }

  void Train(wire::SessionId session, const proto::Batch& batch) {
    const std::string policy = policies_.at(session);
    LaneState& lane = lanes_.at(policy);
    lane.training = true;
    if (measuring_) CountAges(batch, &lane);
    const auto seconds = options_.step_s.find(policy);
    After(seconds == options_.step_s.end() ? 0 : seconds->second, [this, policy, step = batch.step()] {
      lanes_.at(policy).training = false;
      Publish(policy, step + 1);
      AskForBatch(policy, step + 1);
      LookWhetherToMeasure();
    });
  }

  void CountAges(const proto::Batch& batch, LaneState* lane) const {
    const proto::StalenessConfig& staleness = config_.policies().at(batch.policy()).staleness();
    for (const proto::Group& group : batch.groups()) {
      for (const proto::Turn& turn : group.episodes(0).turns()) {
        if (turn.policy() != batch.policy()) continue;
        for (const proto::VersionRun& run : turn.version_runs()) {
          const uint32_t age = batch.step() - run.version().number();
          if (age > staleness.bound() && staleness.on_limit() == proto::MASK) {
            lane->over_bound += run.count();
            continue;
          }
          if (lane->tokens.size() <= age) lane->tokens.resize(age + 1);
          lane->tokens[age] += run.count();
        }
      }
    }
  }

  void Publish(const std::string& policy, uint32_t number) {
    LaneState& lane = lanes_.at(policy);
    lane.installed_s.push_back(now_ + (number == 0 ? 0 : options_.publish_s));
    const std::string bytes = absl::StrCat(policy, number);
    proto::Header begin, chunk, commit;
    begin.mutable_weights_begin()->set_policy(policy);
    begin.mutable_weights_begin()->mutable_version()->set_number(number);
    begin.mutable_weights_begin()->set_bytes(bytes.size());
    begin.mutable_weights_begin()->set_chunks(1);
    begin.mutable_weights_begin()->set_digest(Digest(bytes));
    chunk.mutable_weights_chunk()->set_policy(policy);
    chunk.mutable_weights_chunk()->mutable_version()->set_number(number);
    commit.mutable_weights_commit()->set_policy(policy);
    commit.mutable_weights_commit()->mutable_version()->set_number(number);
    commit.mutable_weights_commit()->set_digest(Digest(bytes));
    Call(lane.trainer, begin);
    Call(lane.trainer, chunk, {wire::MakeFrame(bytes)});
    Call(lane.trainer, commit);
  }

  // From a share of the steps on, as long as there are tickets to issue: at the end a run only empties its queues.
  void LookWhetherToMeasure() {
    uint32_t slowest = config_.train().steps();
    bool issues = true;
    for (const auto& [name, lane] : lanes_) {
      slowest = std::min(slowest, exchange_->lane(name).version().value_or(0));
      issues &= exchange_->lane(name).to_issue() > 0;
    }
    const bool warm = slowest >= options_.warm_up_share * config_.train().steps();
    if (warm && issues && !measuring_) {
      first_version_ = last_version_ = slowest;
      began_s_ = now_;
      measuring_ = true;
    }
    if (!measuring_ || ended_ || slowest == last_version_) return;  // policies publish one after the other
    last_version_ = slowest;
    ended_s_ = now_;
    ended_ = !issues;
  }

  // What held since the last event.
  void AddUp(double now) {
    const double seconds = now - std::exchange(now_, now);
    if (!measuring_ || ended_ || seconds <= 0) return;
    uint64_t playing = 0;
    bool room = false;
    for (const auto& [session, worker] : workers_) {
      playing += worker.playing;
      room |= worker.asked;
    }
    in_play_ += seconds * static_cast<double>(playing);
    for (auto& [name, lane] : lanes_) {
      const Lane& real = exchange_->lane(name);
      lane.result.training_share += lane.training ? seconds : 0;
      lane.result.buffered += seconds * static_cast<double>(real.arrived());
      lane.result.held_up_share += room && real.to_issue() > 0 && !real.Admits() ? seconds : 0;
    }
  }

  VirtualRun Result() {
    VirtualRun run;
    run.seconds = ended_s_ - began_s_;
    const double seconds = std::max(run.seconds, 1e-12);
    run.groups_per_s =
        static_cast<double>(last_version_ - first_version_) * config_.train().groups_per_step() / seconds;
    run.in_play = in_play_ / seconds;
    for (auto& [name, lane] : lanes_) {
      VirtualLane& result = run.lanes[name] = lane.result;
      result.training_share /= seconds;
      result.buffered /= seconds;
      result.held_up_share /= seconds;
      double tokens = 0;
      for (const double count : lane.tokens) tokens += count;
      for (const double count : lane.tokens) result.age_share.push_back(tokens > 0 ? count / tokens : 0);
      const double all = tokens + lane.over_bound;
      result.over_bound_share = all > 0 ? lane.over_bound / all : 0;
    }
    return run;
  }

  std::string Waiting() {
    exchange_->Tick(now_);
    return refusal_.empty() ? missing_ : absl::StrCat("refused: ", refusal_);
  }

  const VirtualRunOptions& options_;
  const proto::Config config_;
  RandomStream random_;
  std::unique_ptr<Exchange> exchange_;
  std::priority_queue<Event> events_;
  uint64_t next_event_ = 0, last_call_ = 0;
  double now_ = 0;
  std::map<wire::SessionId, Worker> workers_;
  std::map<wire::SessionId, std::string> policies_;  // of trainers
  std::map<std::string, LaneState> lanes_;
  std::vector<wire::Frame> frames_;
  bool measuring_ = false, ended_ = false;
  uint32_t first_version_ = 0, last_version_ = 0;
  double began_s_ = 0, ended_s_ = 0, in_play_ = 0;
  std::string missing_, refusal_;
};

}  // namespace

absl::StatusOr<VirtualRun> RunVirtually(const VirtualRunOptions& options) {
  TANDEM_ASSIGN_OR_RETURN(LagModels lags, MakeLagModels(options.config, "."));
  return Runner(options).Run(std::move(lags));
}

}  // namespace tandem
