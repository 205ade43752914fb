#include "rollout/worker.h"

#include <unistd.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "exchange/link.h"
#include "rollout/env/environment.h"
#include "rollout/group_play.h"
#include "rollout/tally.h"
#include "rollout/weight_watch.h"

namespace tandem {
namespace {

constexpr double kIdlePoll_s = 0.05;     // how long the exchange is listened to when there is nothing to play
constexpr double kRemotePoll_s = 0.002;  // the same while a remote model is asked
constexpr double kReportEvery_s = 1;
constexpr double kListenShare = 0.25;  // of the time of a step, to new weights that come while turns are generated

class Worker {
 public:
  Worker(const WorkerRun& run, Cast* cast, WorkerLink* link, const Clock* clock)
      : run_(run),
        cast_(*cast),
        link_(*link),
        clock_(*clock),
        weights_(cast, link),
        interval_began_s_(clock->Now()),
        interval_cpu_s_(clock->CpuSeconds()) {}

  absl::Status Work(const std::atomic<bool>& stop) {
    for (const proto::PolicyVersion& v : link_.welcome().versions()) weights_.HeardOf(v.policy(), v.version());
    while (!stop && !finished_) {
      TANDEM_RETURN_IF_ERROR(Listen());
      weights_.Fetch();
      AskForTickets();
      TANDEM_RETURN_IF_ERROR(StartGroups());
      const double step_began_s = clock_.Now();
      if (cast_.Step() > 0) clock_.Spend(run_.config.durations().decode_step_s());
      step_s_ = clock_.Now() - step_began_s;
      TANDEM_ASSIGN_OR_RETURN(const bool settled, weights_.Settle(clock_.Now()));
      can_go_on_ |= settled;
      TANDEM_RETURN_IF_ERROR(cast_.RemoteStatus());
      TANDEM_RETURN_IF_ERROR(CollectGroups());
      SubmitGroups();
      if (clock_.Now() - interval_began_s_ >= kReportEvery_s) Report();
    }
    Report();
    return absl::OkStatus();
  }

 private:
  // All that the exchange has said; waits for it when there is nothing else to do.
  absl::Status Listen() {
    const bool waits_for_others = cast_.NextTool().has_value() || cast_.asked() > 0;
    const double poll_s = cast_.asked() > 0 ? kRemotePoll_s : kIdlePoll_s;
    double timeout_s = Busy() ? 0 : std::min(poll_s, cast_.NextTool().value_or(poll_s));
    const double began_s = clock_.Now();
    while (!finished_) {
      TANDEM_ASSIGN_OR_RETURN(std::optional<WorkerEvent> event, link_.Poll(timeout_s));
      if (timeout_s > 0) (waits_for_others ? waited_for_tools_s_ : waited_s_) += clock_.Now() - began_s;
      if (!event) break;
      timeout_s = 0;
      // Turns that are being generated do not wait for all of new weights to come.
      const bool coming = std::holds_alternative<WeightsComing>(*event);
      if (coming && Busy() && clock_.Now() - began_s > kListenShare * step_s_) break;
      TANDEM_RETURN_IF_ERROR(std::visit([this](auto& e) { return On(e); }, *event));
    }
    return absl::OkStatus();
  }

  bool Busy() const { return cast_.live() > 0 || can_go_on_; }

  absl::Status On(TicketsArrived& event) {
    for (const proto::PolicyVersion& v : event.grant.versions()) weights_.HeardOf(v.policy(), v.version());
    for (proto::Ticket& ticket : *event.grant.mutable_tickets()) {
      for (const proto::TicketLimit& limit : ticket.limits()) weights_.HeardOf(limit.policy(), limit.least());
      single_episodes_ = ticket.purpose() != proto::TRAIN;
      waiting_.push_back(std::move(ticket));
    }
    finished_ |= event.grant.finished();
    can_go_on_ = true;
    return absl::OkStatus();
  }

  absl::Status On(GroupAnswered& event) {
    if (event.verdict != "accepted") LogDebug("a group was not taken: ", event.verdict);
    can_go_on_ = true;
    return absl::OkStatus();
  }

  absl::Status On(VersionAnnounced& event) {
    weights_.HeardOf(event.policy, event.version);
    return absl::OkStatus();
  }

  absl::Status On(WeightsArrived& event) {
    can_go_on_ = true;
    return weights_.Install(std::move(event), clock_.Now());
  }

  absl::Status On(WeightsComing&) { return absl::OkStatus(); }

  absl::Status On(RunFinished&) {
    finished_ = true;
    return absl::OkStatus();
  }

  // Groups of a single episode (of the warm start, of an evaluation) are small: as many episodes as otherwise are
  // played at the same time, so that the engines are as full.
  size_t GroupsAtOnce() const {
    const size_t groups = run_.config.rollout().groups_in_play();
    return single_episodes_ ? groups * run_.config.train().group_size() : groups;
  }

  void AskForTickets() {
    const size_t held = waiting_.size() + playing_.size() + finished_groups_.size();
    if (held >= GroupsAtOnce() || link_.tickets_requested()) return;
    link_.RequestTickets(static_cast<uint32_t>(GroupsAtOnce() - held));
  }

  // A ticket whose least version is not here yet waits; those behind it do not.
  absl::Status StartGroups() {
    can_go_on_ = false;
    for (auto ticket = waiting_.begin(); ticket != waiting_.end() && playing_.size() < GroupsAtOnce();) {
      if (!cast_.ReadyFor(*ticket)) {
        ++ticket;
        continue;
      }
      TANDEM_ASSIGN_OR_RETURN(std::unique_ptr<GroupPlay> play, GroupPlay::Start(cast_, std::move(*ticket)));
      playing_.push_back(std::move(play));
      ticket = waiting_.erase(ticket);
    }
    return absl::OkStatus();
  }

  absl::Status CollectGroups() {
    for (size_t i = 0; i < playing_.size();) {
      if (!playing_[i]->done()) {
        ++i;
        continue;
      }
      TANDEM_ASSIGN_OR_RETURN(PlayedGroup played, playing_[i]->Finish());
      CountGroup(played.group, &metrics_);
      finished_groups_.push_back(std::move(played));
      playing_[i] = std::move(playing_.back());
      playing_.pop_back();
      can_go_on_ = true;
    }
    return absl::OkStatus();
  }

  void SubmitGroups() {
    while (!finished_groups_.empty() && link_.submit_credit() > 0) {
      PlayedGroup played = std::move(finished_groups_.front());
      finished_groups_.pop_front();
      played.group.set_run(link_.welcome().run());
      played.group.set_worker(run_.name);
      link_.SubmitGroup(std::move(played.group), std::move(played.frames));
    }
  }

  void Report() {
    const double now = clock_.Now(), interval_s = now - interval_began_s_;
    if (interval_s <= 0) return;
    uint64_t tokens = 0;
    for (const auto& [name, engine] : cast_.engines()) tokens += engine->tokens_generated();
    metrics_.set_worker(run_.name);
    metrics_.set_tokens_generated(static_cast<uint32_t>(tokens - tokens_reported_));
    metrics_.set_tokens_per_s(static_cast<double>(tokens - tokens_reported_) / interval_s);
    metrics_.set_wait_share(waited_s_ / interval_s);
    metrics_.set_tool_share(waited_for_tools_s_ / interval_s);
    const double cpu_s = clock_.CpuSeconds();
    metrics_.set_cpu_s(cpu_s - std::exchange(interval_cpu_s_, cpu_s));
    metrics_.set_groups_in_play(static_cast<uint32_t>(playing_.size()));
    metrics_.set_swaps(weights_.installed() - swaps_reported_);
    metrics_.set_interval_s(interval_s);
    for (const auto& [policy, lag_s] : weights_.TakePublishLags()) (*metrics_.mutable_publish_lag_s())[policy] = lag_s;
    link_.SetMetrics(std::exchange(metrics_, {}));
    tokens_reported_ = tokens;
    swaps_reported_ = weights_.installed();
    waited_s_ = waited_for_tools_s_ = 0;
    interval_began_s_ = now;
  }

  const WorkerRun& run_;
  Cast& cast_;
  WorkerLink& link_;
  const Clock& clock_;
  WeightWatch weights_;
  bool finished_ = false;
  bool single_episodes_ = false;       // what was granted last
  bool can_go_on_ = false;             // something changed: look around before waiting
  std::deque<proto::Ticket> waiting_;  // granted, not begun
  std::vector<std::unique_ptr<GroupPlay>> playing_;
  std::deque<PlayedGroup> finished_groups_;  // without submit credit yet
  proto::RolloutMetrics metrics_;            // of the interval
  double step_s_ = 0;                        // of the last one
  double interval_began_s_, interval_cpu_s_, waited_s_ = 0, waited_for_tools_s_ = 0;
  uint64_t tokens_reported_ = 0;
  uint32_t swaps_reported_ = 0;
};

wire::ClientOptions OptionsOf(const WorkerRun& run, const std::atomic<bool>& stop) {
  const proto::TransportConfig& transport = run.config.transport();
  wire::ClientOptions options;
  options.endpoint = run.endpoint;
  options.hello.set_build(run.build);
  options.hello.set_config_digest(run.config_digest);
  options.hello.set_kind(proto::WORKER);
  options.hello.set_name(run.name);
  options.hello.set_pid(getpid());
  options.connect_s = transport.connect_s();
  options.resend_s = transport.resend_s();
  options.silence_s = transport.silence_s();
  options.deadline_s = transport.deadline_s();
  options.max_message_bytes = transport.max_message_bytes();
  options.stop = &stop;
  return options;
}

// A file of tasks may lack a split that the run will ask for: better known now than in the middle.
absl::Status CheckTasks(const proto::Config& config, const Environment& environment) {
  TANDEM_RETURN_IF_ERROR(environment.MakeTask(proto::TRAINING, 0).status());
  if (config.evaluation().episodes() == 0) return absl::OkStatus();
  return environment.MakeTask(proto::HELD_OUT, 0).status();
}

}  // namespace

absl::Status RunWorker(const WorkerRun& run, wire::Network& network, DecoderFactory factory,
                       const std::atomic<bool>& stop) {
  TANDEM_ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment,
                          MakeEnvironment(run.config.environment(), run.config.seed(), run.config_folder));
  TANDEM_RETURN_IF_ERROR(CheckTasks(run.config, *environment));
  const std::unique_ptr<Clock> connecting = network.MakeClock(0);
  TANDEM_ASSIGN_OR_RETURN(std::unique_ptr<wire::Client> client, network.Connect(*connecting, OptionsOf(run, stop)));
  WorkerLink link(std::move(client));
  const std::unique_ptr<Clock> clock =
      network.MakeClock(link.welcome().clock_s());  // the run's, for the times of turns
  TANDEM_ASSIGN_OR_RETURN(const std::unique_ptr<Cast> cast,
                          Cast::CreateForRun(run.config, *environment, *clock, factory));
  cast->LetToolsTakeTime();
  return WorkOverLink(run, link, *cast, *clock, stop);
}

absl::Status WorkOverLink(const WorkerRun& run, WorkerLink& link, Cast& cast, const Clock& clock,
                          const std::atomic<bool>& stop) {
  return Worker(run, &cast, &link, &clock).Work(stop);
}

}  // namespace tandem
