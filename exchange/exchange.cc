#include "exchange/exchange.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "base/status.h"

namespace tandem {
namespace {

std::map<std::string, Lane> MakeLanes(const ExchangeOptions& options, const Stages& stages) {
  const proto::Config& config = options.config;
  std::map<std::string, Lane> lanes;
  for (const auto& [name, policy] : config.policies()) {
    BatcherOptions batcher = {name,
                              options.incarnation,
                              config.train().groups_per_step(),
                              policy.staleness().bound(),
                              policy.staleness().on_limit(),
                              policy.staleness().reruns()};
    if (policy.staleness().has_drift_bound()) batcher.drift_bound = policy.staleness().drift_bound();
    LaneOptions lane;
    lane.batcher = std::move(batcher);
    lane.first_version = stages.first_version(name);
    lane.last_version = config.train().steps();
    if (const auto lag = options.lags.find(name); lag != options.lags.end()) {
      lane.lag = lag->second;
      lane.batcher.lag_injection = true;
      lane.keep_versions += MostLag(config.lag().at(name), policy.staleness().bound());
    }
    lanes.emplace(name, Lane(std::move(lane)));
  }
  return lanes;
}

proto::JournalEvent EventOf(double now, wire::SessionId session) {
  proto::JournalEvent event;
  event.set_now_s(now);
  event.set_session(session);
  return event;
}

std::map<std::string, uint32_t> FirstSftSteps(const ExchangeOptions& options, const Stages& stages) {
  std::map<std::string, uint32_t> first;
  for (const auto& [name, policy] : options.config.policies()) first[name] = stages.first_sft_step(name);
  return first;
}

}  // namespace

Exchange::Exchange(ExchangeOptions options, Outlet* outlet)
    : options_(std::move(options)),
      outlet_(outlet),
      stages_(options_.config, options_.resume),
      lanes_(MakeLanes(options_, stages_)),
      warm_start_(options_.config.sft().steps(), options_.config.sft().episodes_per_step(),
                  FirstSftSteps(options_, stages_)),
      book_(options_.incarnation),
      attendance_(options_.config, options_.began_s) {}

void Exchange::Joined(double now, wire::SessionId session, const proto::Hello& hello) {
  proto::JournalEvent event = EventOf(now, session);
  *event.mutable_joined() = hello;
  Note(event);
  attendance_.Joined(now, session, hello);
  outlet_->Inform(absl::StrCat(hello.name(), " (process ", hello.pid(), ") has joined"));
}

void Exchange::Lost(double now, wire::SessionId session, const std::string& why) {
  proto::JournalEvent event = EventOf(now, session);
  event.set_lost(why);
  Note(event);
  const bool expected = over() || attendance_.MayLeave(session);
  Gone(now, session, absl::StrCat("was lost (", why, ")"), expected);
}

void Exchange::Left(double now, wire::SessionId session) {
  proto::JournalEvent event = EventOf(now, session);
  event.set_left(true);
  Note(event);
  const proto::Hello* peer = attendance_.Find(session);
  const bool trainer = peer != nullptr && peer->kind() == proto::TRAINER;
  Gone(now, session, "has left", /*expected=*/!trainer || over() || attendance_.MayLeave(session));
}

void Exchange::Gone(double now, wire::SessionId session, const std::string& how, bool expected) {
  const std::string name = attendance_.Name(session);
  attendance_.Gone(now, session, how);
  const auto of_session = [&](const auto& wait) { return wait.from.session == session; };
  std::erase_if(ticket_waits_, of_session);
  std::erase_if(batch_waits_, of_session);
  std::erase_if(fetch_waits_, of_session);
  const auto wanted = [&](const proto::Ticket& ticket) {
    if (ticket.purpose() != proto::TRAIN) return true;
    return std::any_of(lanes_.begin(), lanes_.end(), [&](const auto& lane) { return lane.second.Plays(ticket.id()); });
  };
  const std::vector<proto::Ticket> waiting = book_.Lose(session, wanted);
  for (const proto::Ticket& ticket : waiting) {
    if (ticket.purpose() != proto::TRAIN) continue;
    for (auto& [policy, lane] : lanes_) lane.Reissue(ticket.id());
  }
  const std::string line = absl::StrCat(
      name, " ", how, waiting.empty() ? "" : absl::StrCat("; ", waiting.size(), " tickets will be issued again"));
  expected ? outlet_->Inform(line) : outlet_->Warn(line);
  Settle(now);
}

void Exchange::Call(double now, wire::SessionId session, uint64_t call, wire::Packet packet) {
  const Address from = {session, call};
  const proto::Header& header = packet.header;
  if (attendance_.Find(session) == nullptr) {
    return Refuse(from, absl::FailedPreconditionError("a call before the hello"));
  }
  switch (header.body_case()) {
    case proto::Header::kTicketRequest:
      NoteCall(now, from, header);
      OnTicketRequest(from, header.ticket_request());
      break;
    case proto::Header::kGroup:
      OnGroup(now, from, std::move(packet));
      break;
    case proto::Header::kBatchRequest:
      NoteCall(now, from, header);
      OnBatchRequest(from, header.batch_request());
      break;
    case proto::Header::kStepDone:
      NoteCall(now, from, header);
      OnStepDone(now, from, header.step_done());
      break;
    case proto::Header::kWeightsBegin:
      OnWeightsBegin(from, header.weights_begin());
      break;
    case proto::Header::kWeightsChunk:
      OnWeightsChunk(from, header.weights_chunk(), packet.frames);
      break;
    case proto::Header::kWeightsCommit:
      OnWeightsCommit(now, from, header);
      break;
    default:
      Refuse(from, absl::InvalidArgumentError(
                       absl::StrCat("a call of kind ", header.body_case(), ", which the exchange does not answer")));
  }
  Settle(now);
}

void Exchange::Heartbeat(double now, wire::SessionId session, const proto::RolloutMetrics& metrics) {
  const proto::Hello* peer = attendance_.Find(session);
  if (peer == nullptr || peer->kind() != proto::WORKER || metrics.interval_s() <= 0) return;
  proto::RolloutMetrics line = metrics;
  line.set_worker(peer->name());
  outlet_->Metrics("rollout", line, now);
}

void Exchange::Tick(double now) {
  for (const BatchWait& wait : batch_waits_) {
    outlet_->Missing(wait.from.session, wait.from.call, MissingOf(wait));
  }
  const std::string held_up = absl::StrJoin(held_up_by_, ", ");
  for (const TicketWait& wait : ticket_waits_) {
    outlet_->Missing(wait.from.session, wait.from.call,
                     absl::StrCat("no ticket now: stage ", StageName(stage()),
                                  held_up.empty() ? "" : absl::StrCat("; policy ", held_up, " has to catch up")));
  }
  for (const FetchWait& wait : fetch_waits_) {
    outlet_->Missing(wait.from.session, wait.from.call,
                     absl::StrCat("version ", wait.least.incarnation(), ".", wait.least.number(), " of ", wait.policy,
                                  " is not published yet"));
  }
  const bool slow = !held_up_by_.empty() && !ticket_waits_.empty() && now - held_up_since_ > options_.slow_policy_s;
  if (!slow || now - last_warning_s_ < options_.slow_policy_s) return;
  last_warning_s_ = now;
  outlet_->Warn(absl::StrCat("tickets have been waiting for policy ", held_up, " for ",
                             static_cast<int64_t>(now - held_up_since_),
                             " s: its groups in play and buffered fill its bound"));
}

void Exchange::Stop(double now) {
  proto::JournalEvent event = EventOf(now, 0);
  event.set_stop(true);
  Note(event);
  stopping_ = true;
  proto::Announcement announcement;
  announcement.set_finished(true);
  outlet_->Announce(announcement);
  Settle(now);
}

absl::Status Exchange::Health(double now) const {
  if (over()) return absl::OkStatus();
  return attendance_.Health(now);
}

proto::Welcome Exchange::MakeWelcome(double now) const {
  proto::Welcome welcome;
  welcome.set_run(options_.run_name);
  welcome.set_incarnation(options_.incarnation);
  welcome.set_submit_credit(2 * options_.config.rollout().groups_in_play());
  for (const proto::PolicyVersion& version : Versions()) *welcome.add_versions() = version;
  welcome.set_clock_s(now);
  return welcome;
}

std::vector<proto::PolicyVersion> Exchange::Versions() const {
  std::vector<proto::PolicyVersion> versions;
  for (const auto& [policy, lane] : lanes_) {
    if (!lane.version()) continue;
    proto::PolicyVersion& version = versions.emplace_back();
    version.set_policy(policy);
    version.mutable_version()->set_incarnation(options_.incarnation);
    version.mutable_version()->set_number(*lane.version());
  }
  return versions;
}

// Every event may let a stage end, a batch be cut or a ticket be admitted, and each of these another: until nothing
// moves any more.
void Exchange::Settle(double now) {
  bool moved = true;
  while (moved) {
    moved = AdvanceStage(now);
    moved |= ServeBatches(now);
    moved |= ServeTickets(now);
  }
  ServeFetches();
  const bool training = std::any_of(lanes_.begin(), lanes_.end(), [](const auto& l) { return l.second.batch(); });
  overlap_.Update(now, book_.held(proto::TRAIN), training);
}

bool Exchange::AdvanceStage(double now) {
  const auto all = [this](auto holds) {
    return std::all_of(lanes_.begin(), lanes_.end(), [&](const auto& lane) { return holds(lane.second); });
  };
  bool over = false;
  switch (stage()) {
    case Stage::kSft:
      over = all([](const Lane& lane) { return lane.version().has_value(); });
      break;
    case Stage::kEvalAfterSft:
    case Stage::kEvalFinal:
      over = evaluation_->episodes() >= options_.config.evaluation().episodes();
      if (over) outlet_->Metrics("eval", evaluation_->Metrics(), now);
      break;
    case Stage::kTrain:
      over = all([](const Lane& lane) { return lane.complete(); });
      break;
    case Stage::kFinished:
      break;
  }
  if (!over || stopping_) return false;
  if (stage() == Stage::kTrain) {
    overlap_.Stop(now);
    outlet_->Metrics("overlap", overlap_.Metrics(), now);
  }
  stages_.Next();
  EnterStage(now);
  return true;
}

void Exchange::EnterStage(double now) {
  outlet_->Inform(absl::StrCat("stage ", StageName(stage())));
  held_up_by_.clear();
  eval_tickets_ = 0;
  const double temperature = options_.config.evaluation().temperature();
  if (stage() == Stage::kEvalAfterSft) evaluation_.emplace("after_sft", temperature);
  if (stage() == Stage::kEvalFinal) evaluation_.emplace("final", temperature);
  if (stage() == Stage::kTrain) {
    overlap_.Start(now, /*generating=*/false, /*training=*/false);
    for (auto& [policy, lane] : lanes_) step_began_s_[policy] = now;
  }
  if (stage() == Stage::kFinished) {
    proto::Announcement announcement;
    announcement.set_finished(true);
    outlet_->Announce(announcement);
  }
}

void Exchange::Answer(const Address& to, proto::Header header, std::vector<wire::Frame> frames) {
  outlet_->Reply(to.session, to.call, std::move(header), std::move(frames));
}

void Exchange::Refuse(const Address& to, const absl::Status& status) {
  const std::string reason(status.message());
  outlet_->Warn(absl::StrCat("refused a call of ", attendance_.Name(to.session), ": ", reason));
  proto::Header header;
  header.mutable_refusal()->set_reason(reason);
  Answer(to, std::move(header));
}

proto::Header Exchange::AckHeader() {
  proto::Header header;
  header.mutable_ack();
  return header;
}

std::string Exchange::PolicyOf(const Address& from, const std::string& named) const {
  return named.empty() ? attendance_.Find(from.session)->policy() : named;
}

absl::Status Exchange::CheckTrainer(const Address& from, const std::string& policy, bool first_rank) const {
  const proto::Hello& peer = *attendance_.Find(from.session);
  if (!lanes_.contains(policy)) return absl::InvalidArgumentError(absl::StrCat("no policy is named ", policy));
  if (peer.kind() != proto::TRAINER || peer.policy() != policy) {
    return absl::PermissionDeniedError(absl::StrCat(peer.name(), " is not a trainer of policy ", policy));
  }
  if (first_rank && peer.rank() != 0) {
    return absl::PermissionDeniedError(absl::StrCat(peer.name(), " is rank ", peer.rank(), "; rank 0 publishes"));
  }
  return absl::OkStatus();
}

void Exchange::WriteRejections(Lane& lane, double now) {
  for (const Rejection& rejection : lane.TakeRejections()) {
    const proto::Group& group = rejection.group->header;
    proto::RejectedMetrics line;
    line.set_policy(lane.policy());
    line.set_reason(rejection.reason);
    line.set_ticket(group.ticket().id());
    line.set_episodes(group.episodes_size());
    line.set_tokens(TokensOf(group, lane.policy()));
    line.set_reward_mean(MeanTeamReward(group));
    outlet_->Metrics("rejected", line, now);
  }
}

void Exchange::WriteOverBound(Lane& lane, double now) {
  for (const OverBound& over : lane.TakeOverBound()) {
    const proto::Group& group = over.group->header;
    proto::OverBoundMetrics line;
    line.set_policy(lane.policy());
    line.set_action(lane.on_limit() == proto::MASK ? "masked" : "accepted");
    line.set_step(lane.batch()->step());
    line.set_ticket(group.ticket().id());
    line.set_episodes(group.episodes_size());
    line.set_tokens(TokensOf(group, lane.policy()));
    line.set_tokens_over(over.tokens_over);
    line.set_staleness_max(static_cast<uint32_t>(lane.batch()->step() - over.oldest));
    line.set_reward_mean(MeanTeamReward(group));
    outlet_->Metrics("over_bound", line, now);
  }
}

void Exchange::WriteLedger(const Lane& lane, double now) { outlet_->Metrics("ledger", lane.ledger().Metrics(), now); }

}  // namespace tandem
