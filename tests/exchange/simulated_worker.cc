#include "tests/exchange/simulated_worker.h"

#include <cmath>
#include <utility>

#include "base/digest.h"
#include "proto/group.h"

namespace tandem {

SimulatedWorker::SimulatedWorker(Simulation* sim, int index) : sim_(*sim), name_(absl::StrCat("worker-", index)) {
  Connect();
}

void SimulatedWorker::Heard(const proto::Announcement& announcement) {
  if (announcement.finished()) return;
  if (!sim_.Chance(sim_.scenario().hears)) return sim_.checker().Saw(kUnheard);
  const proto::PolicyVersion version = announcement.version();
  sim_.After(sim_.Exponential(sim_.scenario().delay_s), [this, version, life = life_] {
    if (life == life_) Fetch(version.policy(), version.version().number());
  });
}

void SimulatedWorker::Connect() {
  proto::Hello hello;
  hello.set_kind(proto::WORKER);
  hello.set_name(name_);
  session_ = sim_.Join(hello);
  fetching_.clear();
  asked_ = false;
  StartWaiting();
  Ask();
  sim_.After(sim_.Exponential(sim_.scenario().lifetime_s), [this] { End(); });
}

// Dies, or is only believed to be dead.
void SimulatedWorker::End() {
  const bool dead = sim_.Chance(0.5);
  sim_.checker().Saw(dead ? kWorkerDied : kWorkerCutOff);
  if (dead) {
    ++life_;
    installed_.clear();
    waiting_.clear();
    playing_ = 0;
  }
  const wire::SessionId old = std::exchange(session_, 0);
  sim_.After(sim_.Exponential(5), [this, old] { sim_.Lose(old); });
  sim_.After(sim_.Exponential(8), [this, old] {
    sim_.Lose(old);  // joining again under the same name ends the session before
    Connect();
  });
}

void SimulatedWorker::Ask() {
  const int room = static_cast<int>(sim_.scenario().config.rollout().groups_in_play()) - playing_ -
                   static_cast<int>(waiting_.size());
  if (session_ == 0 || asked_ || room <= 0) return;
  asked_ = true;
  proto::Header header;
  header.mutable_ticket_request()->set_credit(room);
  sim_.Call(session_, std::move(header), [this, session = session_](const proto::Header& reply, const auto&) {
    if (session != session_) return;
    asked_ = false;
    for (const proto::Ticket& ticket : reply.ticket_grant().tickets()) {
      waiting_.push_back(std::make_shared<const proto::Ticket>(ticket));
    }
    StartWaiting();
    if (!reply.ticket_grant().finished()) Ask();
  });
}

// Whether every engine is there and not older than the ticket's least version; asks for the weights that are not.
bool SimulatedWorker::ReadyFor(const proto::Ticket& ticket) {
  bool ready = true;
  for (const proto::TicketLimit& limit : ticket.limits()) {
    const auto installed = installed_.find(limit.policy());
    const bool some = installed != installed_.end();
    const bool enough = some && installed->second >= limit.least().number();
    if (!enough) Fetch(limit.policy(), limit.least().number());
    ready &= enough || (some && !sim_.scenario().obedient);
  }
  return ready;
}

void SimulatedWorker::StartWaiting() {
  std::erase_if(waiting_, [this](const auto& ticket) {
    if (!ReadyFor(*ticket)) return false;
    Play(ticket);
    return true;
  });
}

void SimulatedWorker::Fetch(const std::string& policy, uint32_t least) {
  if (session_ == 0 || fetching_[policy]) return;
  fetching_[policy] = true;
  proto::Header header;
  header.mutable_weights_begin()->set_policy(policy);
  header.mutable_weights_begin()->mutable_version()->set_number(least);
  sim_.Call(session_, std::move(header), [this, session = session_](const proto::Header& reply, const auto&) {
    if (session == session_) FetchChunk(reply.weights_begin(), 0, "");
  });
}

void SimulatedWorker::FetchChunk(const proto::WeightsBegin& begin, uint32_t index, const std::string& bytes) {
  if (index == begin.chunks()) return Install(begin, bytes);
  proto::Header header;
  header.mutable_weights_chunk()->set_policy(begin.policy());
  *header.mutable_weights_chunk()->mutable_version() = begin.version();
  header.mutable_weights_chunk()->set_index(index);
  sim_.Call(session_, std::move(header), [=, this, session = session_](const proto::Header& reply, const auto& frames) {
    if (session != session_) return;
    if (reply.has_weights_begin()) return FetchChunk(reply.weights_begin(), 0, "");  // that version is gone
    FetchChunk(begin, index + 1, bytes + *frames.at(0));
  });
}

void SimulatedWorker::Install(const proto::WeightsBegin& begin, const std::string& bytes) {
  if (Digest(bytes) != begin.digest()) sim_.checker().Violated("weights whose digest does not fit");
  const std::string expected = absl::StrCat("weights of ", begin.policy(), " ", begin.version().number());
  if (bytes != expected) sim_.checker().Violated(absl::StrCat("'", bytes, "' came for ", expected));
  const auto before = installed_.find(begin.policy());
  if (before != installed_.end() && begin.version().number() < before->second) {
    sim_.checker().Violated("an installed version goes back");
  }
  installed_[begin.policy()] = begin.version().number();
  fetching_[begin.policy()] = false;
  StartWaiting();
}

void SimulatedWorker::Play(const std::shared_ptr<const proto::Ticket>& ticket) {
  ++playing_;
  const double tail = std::pow(0.02 + sim_.random().Uniform(), -1.2);  // 1 to about 100
  sim_.After(sim_.scenario().episode_s * tail, [this, ticket, start = installed_, life = life_] {
    if (life != life_) return;
    --playing_;
    const std::shared_ptr<const wire::Packet> group = Finish(*ticket, start);
    Submit(group);
    if (sim_.Chance(sim_.scenario().repeat)) {
      sim_.checker().Saw(kRepeated);
      sim_.After(sim_.Exponential(3), [this, group, life] {
        if (life == life_) Submit(group);
      });
    }
    Ask();
  });
}

std::shared_ptr<const wire::Packet> SimulatedWorker::Finish(const proto::Ticket& ticket,
                                                            const std::map<std::string, uint32_t>& start) {
  static const wire::Frame kNothing = wire::MakeFrame("");
  auto packet = std::make_shared<wire::Packet>();
  proto::Group& group = *packet->header.mutable_group();
  *group.mutable_ticket() = ticket;
  const bool first_only = sim_.Chance(sim_.scenario().without_executor);
  size_t tokens = 0;
  for (uint32_t e = 0; e < ticket.episodes(); ++e) {
    proto::Episode* episode = group.add_episodes();
    episode->set_episode(e);
    for (const std::string& policy : sim_.policies()) {
      AddTurn(ticket, policy, start, episode);
      tokens += episode->turns(episode->turns_size() - 1).output_tokens();
      if (first_only) break;
    }
  }
  packet->frames.assign(kFramesPerGroup, kNothing);
  packet->frames[kLossMask] = wire::MakeFrame(std::string(tokens, '\1'));
  return packet;
}

// One or two versions wrote it, in order, out of those that were installed between start and end.
void SimulatedWorker::AddTurn(const proto::Ticket& ticket, const std::string& policy,
                              const std::map<std::string, uint32_t>& start, proto::Episode* episode) {
  proto::Turn* turn = episode->add_turns();
  turn->set_policy(policy);
  if (ticket.purpose() == proto::SFT) return;
  for (const proto::TicketLimit& limit : ticket.limits()) {
    if (limit.policy() != policy || limit.writers().empty()) continue;
    *turn->mutable_version_runs() = limit.writers();
    for (const proto::VersionRun& run : limit.writers()) turn->set_output_tokens(turn->output_tokens() + run.count());
    return;
  }
  const uint32_t oldest = start.at(policy), newest = installed_.at(policy);
  const uint32_t begun = oldest + sim_.random().Below(newest - oldest + 1);
  const uint32_t ended = begun + sim_.random().Below(newest - begun + 1);
  for (uint32_t version : {begun, ended}) {
    if (turn->version_runs_size() > 0 && begun == ended) break;
    proto::VersionRun* run = turn->add_version_runs();
    run->mutable_version()->set_number(version);
    run->set_count(1 + sim_.random().Below(5));
    turn->set_output_tokens(turn->output_tokens() + run->count());
  }
}

void SimulatedWorker::Submit(const std::shared_ptr<const wire::Packet>& group) {
  if (session_ != 0) return sim_.Call(session_, group, [](const auto&, const auto&) {});
  sim_.After(1, [this, group, life = life_] {  // not connected: as soon as it is again
    if (life == life_) Submit(group);
  });
}

}  // namespace tandem
