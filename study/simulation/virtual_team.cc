#include "study/simulation/virtual_team.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
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

}  // namespace

VirtualTeam::VirtualTeam(const VirtualRunOptions& options, LagModels lags)
    : config_(Simplified(options.config)),
      worker_count_(options.workers),
      work_(options.work ? *options.work : GivenLatencies(options)),
      machine_(&events_, options.cores),
      random_(config_.seed()) {
  for (const auto& [name, policy] : config_.policies()) trainers_[name], rejected_[name];
  frames_.assign(kFramesPerGroup, wire::MakeFrame(""));
  frames_[kLossMask] = wire::MakeFrame(std::string(kTokens * trainers_.size(), '\1'));
  ExchangeOptions exchange;
  exchange.config = config_;
  exchange.lags = std::move(lags);
  exchange_ = std::make_unique<Exchange>(std::move(exchange), this);
}

VirtualTeam::~VirtualTeam() = default;

void VirtualTeam::Begin() {
  wire::SessionId session = 0;
  for (auto& [name, trainer] : trainers_) {
    proto::Hello hello;
    hello.set_kind(proto::TRAINER);
    hello.set_name(absl::StrCat("trainer-", name));
    hello.set_policy(name);
    trainer.session = ++session;
    exchange_->Joined(events_.now_s(), session, hello);
  }
  for (auto& [name, trainer] : trainers_) {
    Publish(name, 0);
    AskForBatch(name, 0);
  }
  for (uint32_t i = 0; i < worker_count_; ++i) {
    proto::Hello hello;
    hello.set_kind(proto::WORKER);
    hello.set_name(absl::StrCat("worker-", i));
    exchange_->Joined(events_.now_s(), ++session, hello);
    workers_[session].player = std::make_unique<VirtualWorker>(&events_, &machine_, &work_);
    Ask(session);
  }
}

std::string VirtualTeam::Waiting() {
  exchange_->Tick(events_.now_s());
  return refusal_.empty() ? missing_ : absl::StrCat("refused: ", refusal_);
}

// ---- the exchange

void VirtualTeam::Call(wire::SessionId session, proto::Header header, std::vector<wire::Frame> frames) {
  exchange_->Call(events_.now_s(), session, ++last_call_, {std::move(header), std::move(frames)});
}

// The exchange takes in one group after the other.
void VirtualTeam::Serve(std::function<void()> call) {
  if (work_.exchange_cpu_s <= 0) return call();
  served_.push_back(std::move(call));
  if (served_.size() == 1) ServeNext();
}

void VirtualTeam::ServeNext() {
  machine_.Start(work_.exchange_cpu_s, /*threads=*/1, [this] {
    const std::function<void()> call = std::move(served_.front());
    served_.pop_front();
    call();
    if (!served_.empty()) ServeNext();
  });
}

void VirtualTeam::Reply(wire::SessionId session, uint64_t, proto::Header header, std::vector<wire::Frame>) {
  if (header.has_refusal()) refusal_ = header.refusal().reason();
  if (header.has_ticket_grant()) {
    Worker& worker = workers_.at(session);
    worker.asked = false;
    --asking_;
    for (proto::Ticket& granted : *header.mutable_ticket_grant()->mutable_tickets()) {
      const auto ticket = std::make_shared<proto::Ticket>(std::move(granted));
      ++worker.playing;
      ++playing_;
      ++issued_;
      events_.After(0, [this, session, ticket] { Play(session, ticket); });
    }
    events_.After(0, [this, session] { Ask(session); });
  }
  if (header.batch().groups_size() > 0) {
    const auto batch = std::make_shared<proto::Batch>(std::move(*header.mutable_batch()));
    events_.After(0, [this, batch] { Train(*batch); });
  }
}

void VirtualTeam::Metrics(std::string_view kind, const google::protobuf::Message& values, double) {
  if (kind != "rejected") return;
  const auto& line = static_cast<const proto::RejectedMetrics&>(values);
  const auto took = took_s_.find(line.ticket());
  rejected_.at(line.policy())[line.reason()].push_back(took == took_s_.end() ? 0 : took->second);
}

// ---- workers

void VirtualTeam::Ask(wire::SessionId session) {
  Worker& worker = workers_.at(session);
  const uint32_t most = config_.rollout().groups_in_play();
  if (worker.asked || worker.playing >= most || finished()) return;
  worker.asked = true;
  ++asking_;
  proto::Header header;
  header.mutable_ticket_request()->set_credit(most - worker.playing);
  Call(session, std::move(header));
}

// From when its least versions, or those that it names, are installed.
void VirtualTeam::Play(wire::SessionId session, const TicketPtr& ticket) {
  double start_s = events_.now_s();
  for (const proto::TicketLimit& limit : ticket->limits()) {
    const uint32_t least =
        limit.writers().empty() ? limit.least().number() : limit.writers(limit.writers_size() - 1).version().number();
    start_s = std::max(start_s, trainers_.at(limit.policy()).versions.since_s(least));
  }
  const auto play = [this, session, ticket, start_s, work = work_.group(Progress(), random_)] {
    workers_.at(session).player->Play(
        work, [this, session, ticket, start_s] { Serve([=, this] { Finish(session, ticket, start_s); }); });
  };
  if (start_s > events_.now_s()) return events_.After(start_s - events_.now_s(), play);
  play();
}

void VirtualTeam::Finish(wire::SessionId session, const TicketPtr& ticket, double start_s) {
  proto::Header header;
  proto::Group& group = *header.mutable_group();
  group.set_format(kGroupFormat);
  *group.mutable_ticket() = *ticket;
  proto::Episode& episode = *group.add_episodes();
  for (const proto::TicketLimit& limit : ticket->limits()) AddTurn(limit, start_s, &episode);
  --workers_.at(session).playing;
  --playing_;
  took_s_[ticket->id()] = events_.now_s() - start_s;
  played_s_ += events_.now_s() - start_s;
  Call(session, std::move(header), frames_);
  Ask(session);
}

void VirtualTeam::AddTurn(const proto::TicketLimit& limit, double start_s, proto::Episode* episode) const {
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
  const auto written = work_.written.find(limit.policy());
  const WrittenSpan span = written == work_.written.end() ? WrittenSpan{} : written->second;
  const double whole_s = events_.now_s() - start_s;
  const InstalledVersions& versions = trainers_.at(limit.policy()).versions;
  versions.Writers(start_s + span.from * whole_s, start_s + span.to * whole_s, kTokens,
                   [&turn](uint32_t version, uint32_t count) {
                     proto::VersionRun& run = *turn.add_version_runs();
                     run.mutable_version()->set_number(version);
                     run.set_count(count);
                   });
}

// ---- trainers

double VirtualTeam::Progress() const {
  uint32_t slowest = config_.train().steps();
  for (const auto& [name, trainer] : trainers_) {
    slowest = std::min(slowest, exchange_->lane(name).version().value_or(0));
  }
  return static_cast<double>(slowest) / std::max(1u, config_.train().steps());
}

void VirtualTeam::AskForBatch(const std::string& policy, uint32_t step) {
  if (step >= config_.train().steps()) return;
  proto::Header header;
  header.mutable_batch_request()->set_policy(policy);
  header.mutable_batch_request()->set_step(step);
  Call(trainers_.at(policy).session, std::move(header));
}

void VirtualTeam::Train(const proto::Batch& batch) {
  const std::string policy = batch.policy();
  const uint32_t next = batch.step() + 1;
  trainers_.at(policy).training = true;
  on_batch(batch);
  const auto step = work_.step.find(policy);
  const StepWork work =
      step == work_.step.end() ? StepWork{} : step->second(batch.step() / std::max(1.0, 1.0 * config_.train().steps()));
  const auto trained = [this, policy, next] {
    trainers_.at(policy).training = false;
    Publish(policy, next);
    AskForBatch(policy, next);
    on_published();
  };
  if (work.cpu_s <= 0) return events_.After(work.wait_s, trained);
  machine_.Start(work.cpu_s, work.threads, [this, work, trained] { events_.After(work.wait_s, trained); });
}

void VirtualTeam::Publish(const std::string& policy, uint32_t number) {
  Trainer& trainer = trainers_.at(policy);
  trainer.versions.Install(events_.now_s() + (number == 0 ? 0 : work_.publish_s));
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
  Call(trainer.session, std::move(begin));
  Call(trainer.session, std::move(chunk), {wire::MakeFrame(bytes)});
  Call(trainer.session, std::move(commit));
}

}  // namespace tandem
