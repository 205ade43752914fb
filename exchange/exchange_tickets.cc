// Exchange: tickets out, groups in.
#include <algorithm>

#include "base/digest.h"
#include "base/random.h"
#include "base/status.h"
#include "exchange/exchange.h"

namespace tandem {
namespace {

constexpr uint64_t kBehindSlots = uint64_t{1} << 31;

// Seeds differ between purposes, and are the same for the same number.
uint64_t SeedOf(uint32_t run_seed, const char* purpose, uint64_t number) {
  return MixKey(MixKey(run_seed, StableHash(purpose)), number);
}

}  // namespace

void Exchange::OnTicketRequest(const Address& from, const proto::TicketRequest& request) {
  const proto::Hello& peer = *attendance_.Find(from.session);
  if (peer.kind() != proto::WORKER || request.credit() == 0) {
    return Refuse(from, absl::InvalidArgumentError(absl::StrCat(peer.name(), " asked for ", request.credit(),
                                                                " tickets; a worker asks for at least 1")));
  }
  ticket_waits_.push_back({from, request.credit(), {}});
}

// One ticket to each waiting worker in turn, so that they share what there is; those that got any are answered.
bool Exchange::ServeTickets(double now) {
  const bool over = this->over();
  bool any = false;
  for (bool more = !over; more;) {
    more = false;
    for (TicketWait& wait : ticket_waits_) {
      if (wait.grant.tickets_size() >= static_cast<int>(wait.credit)) continue;
      std::optional<proto::Ticket> ticket = NextTicket(wait.from.session, now);
      if (!ticket) break;
      *wait.grant.add_tickets() = *std::move(ticket);
      more = any = true;
    }
  }
  // Who got any stand first. Those behind are not looked at: a thousand workers may wait at every event.
  while (!ticket_waits_.empty() && (over || !ticket_waits_.front().grant.tickets().empty())) {
    TicketWait wait = std::move(ticket_waits_.front());
    ticket_waits_.pop_front();
    if (over) attendance_.Told(wait.from.session);
    wait.grant.set_finished(over);
    for (const proto::PolicyVersion& version : Versions()) *wait.grant.add_versions() = version;
    proto::Header header;
    *header.mutable_ticket_grant() = std::move(wait.grant);
    Answer(wait.from, std::move(header));
  }
  return any;
}

std::optional<proto::Ticket> Exchange::NextTicket(wire::SessionId worker, double now) {
  if (auto lost = book_.Reissue(worker)) return lost;
  switch (stage()) {
    case Stage::kSft:
      return NextSftTicket(worker, now);
    case Stage::kEvalAfterSft:
    case Stage::kEvalFinal:
      return NextEvalTicket(worker, now);
    case Stage::kTrain:
      return NextTrainTicket(worker, now);
    case Stage::kFinished:
      break;
  }
  return std::nullopt;
}

std::optional<proto::Ticket> Exchange::NextSftTicket(wire::SessionId worker, double now) {
  const std::optional<uint64_t> number = warm_start_.Next();
  if (!number) return std::nullopt;
  proto::Ticket ticket;
  ticket.set_purpose(proto::SFT);
  ticket.set_split(proto::TRAINING);
  ticket.set_task(*number % options_.config.sft().tasks());
  ticket.set_seed(SeedOf(options_.config.seed(), "sft", *number));
  ticket.set_episodes(1);
  ticket.set_temperature(1);
  warm_start_.Take(*number);
  sft_numbers_[book_.next_id()] = *number;
  return book_.Issue(std::move(ticket), worker, now);
}

std::optional<proto::Ticket> Exchange::NextEvalTicket(wire::SessionId worker, double now) {
  if (eval_tickets_ >= options_.config.evaluation().episodes()) return std::nullopt;
  const uint32_t task = eval_tickets_++;
  proto::Ticket ticket;
  ticket.set_purpose(proto::EVAL);
  ticket.set_split(proto::HELD_OUT);
  ticket.set_task(task);
  ticket.set_seed(SeedOf(options_.config.seed(), "eval", task));
  ticket.set_episodes(1);
  ticket.set_temperature(static_cast<float>(options_.config.evaluation().temperature()));
  for (auto& [policy, lane] : lanes_) *ticket.add_limits() = lane.Issue(ticket, /*counted=*/false);
  return book_.Issue(std::move(ticket), worker, now);
}

// A ticket counts for the policies that need most groups still: for all of them, unless a group was rejected for one
// only. That one gets a group of its own in its place, and so all policies stay in step and end without leftovers.
std::optional<proto::Ticket> Exchange::NextTrainTicket(wire::SessionId worker, double now) {
  uint64_t most = 0;
  for (const auto& [policy, lane] : lanes_) most = std::max(most, lane.to_issue());
  if (most == 0) return std::nullopt;
  std::set<std::string> held_up_by;
  for (const auto& [policy, lane] : lanes_) {
    if (lane.to_issue() == most && !lane.Admits(LatestFor(lane))) held_up_by.insert(policy);
  }
  if (held_up_by_.empty() || held_up_by.empty()) held_up_since_ = now;
  held_up_by_ = std::move(held_up_by);
  if (!held_up_by_.empty()) return std::nullopt;
  std::vector<const Lane*> with_slots;
  for (const auto& [policy, lane] : lanes_) {
    if (lane.to_issue() == most && lane.slots() != nullptr) with_slots.push_back(&lane);
  }
  const std::optional<uint64_t> slot = ChooseSlot(with_slots);
  if (!with_slots.empty() && !slot) return std::nullopt;

  const proto::Config& config = options_.config;
  proto::Ticket ticket;
  ticket.set_purpose(proto::TRAIN);
  ticket.set_split(proto::TRAINING);
  ChooseTask(most, slot, &ticket);
  ticket.set_episodes(config.train().group_size());
  ticket.set_temperature(static_cast<float>(config.rollout().temperature()));
  ticket.set_id(book_.next_id());
  for (auto& [policy, lane] : lanes_) {
    const bool counted = lane.to_issue() == most && (lane.slots() == nullptr || lane.slots()->IsOpen(*slot));
    *ticket.add_limits() =
        lane.Issue(ticket, counted, counted && lane.slots() != nullptr ? slot : std::nullopt, LatestFor(lane));
  }
  for (auto& [policy, lane] : lanes_) lane.NotePartners(ticket);
  return book_.Issue(std::move(ticket), worker, now);
}

// The step by which a group that is begun now is due for `lane` because of its partners (partner_drift.h); -1: with the
// step that it is taking a partner will have moved on too far from what it would write now.
int64_t Exchange::LatestFor(const Lane& lane) const {
  int64_t latest = kNeverDue;
  if (!lane.drift_bound() || lane.on_limit() != proto::PACE) return latest;
  for (const auto& [name, partner] : lanes_) {
    if (&partner == &lane) continue;
    const int64_t furthest = partner.version().value_or(0) + int64_t{*lane.drift_bound()};
    latest = std::min(latest, partner.next() <= furthest ? furthest : -1);
  }
  return latest;
}

// Under lag injection: the lowest slot that may be issued for all of `lanes` that have it open. Lanes differ in the
// slots that are open only after a batch of one of them was rejected. There is such a slot, or else the step that the
// slowest lane is at has all its groups: a slot of that step may be issued for every lane.
std::optional<uint64_t> Exchange::ChooseSlot(const std::vector<const Lane*>& lanes) {
  std::optional<uint64_t> slot;
  const auto next_from = [&](uint64_t from) {
    std::optional<uint64_t> next;
    for (const Lane* lane : lanes) {
      const std::optional<uint64_t> open = lane->slots()->NextOpen(from, *lane->version());
      if (open && (!next || *open < *next)) next = open;
    }
    return next;
  };
  for (slot = next_from(0); slot; slot = next_from(*slot + 1)) {
    const bool may_issue = std::all_of(lanes.begin(), lanes.end(), [&](const Lane* lane) {
      return !lane->slots()->IsOpen(*slot) || lane->slots()->MayIssue(*slot, *lane->version());
    });
    if (may_issue) break;
  }
  return slot;
}

// A task that one of the policies that the ticket counts for has given up, or a new one. Under lag injection the
// slot's, so that it does not depend on the order in which slots are issued.
void Exchange::ChooseTask(uint64_t most, std::optional<uint64_t> slot, proto::Ticket* ticket) {
  std::optional<Rerun> again;
  for (auto& [policy, lane] : lanes_) {
    if (lane.to_issue() != most || !lane.rerun()) continue;
    if (!again) again = lane.rerun();
    if (lane.rerun()->task == again->task) lane.TakeRerun();
  }
  if (again) {
    ticket->set_task(again->task);
    ticket->set_seed(again->seed);
    ticket->set_rerun(again->times);
  } else {
    ticket->set_task((uint64_t{options_.incarnation} << 32) + (slot ? SlotTask(*slot) : FreshTask()));
    ticket->set_seed(SeedOf(options_.config.seed(), "train", ticket->task()));
  }
}

// A slot that is issued again gets another task than before.
uint64_t Exchange::SlotTask(uint64_t slot) {
  const uint64_t slots = uint64_t{options_.config.train().steps()} * options_.config.train().groups_per_step();
  return slot + slots * slot_issued_[slot]++;
}

// One that is no slot's.
uint64_t Exchange::FreshTask() { return (options_.lags.empty() ? 0 : kBehindSlots) + train_tickets_++; }

void Exchange::OnGroup(double now, const Address& from, wire::Packet packet) {
  const proto::Group& group = packet.header.group();
  const proto::Ticket& claimed = group.ticket();
  if (const auto out = book_.Find(claimed.id()); out && claimed.incarnation() == options_.incarnation) {
    if (const absl::Status status = CheckClaims(group, *out); !status.ok()) return Refuse(from, status);
  }
  proto::Ticket ticket;
  double issued_s = 0;
  const TicketBook::Verdict verdict = book_.Arrive(claimed, &ticket, &issued_s);
  proto::Header reply;
  switch (verdict) {
    case TicketBook::Verdict::kOrphaned:
      NoteCall(now, from, packet.header);
      reply.mutable_group_receipt()->set_verdict("orphaned");
      break;
    case TicketBook::Verdict::kDuplicate:
      NoteCall(now, from, packet.header);
      reply.mutable_group_receipt()->set_verdict("duplicate");
      if (claimed.purpose() != proto::TRAIN) break;
      for (auto& [policy, lane] : lanes_) lane.CountDuplicate(group.episodes_size());
      break;
    case TicketBook::Verdict::kAccepted: {
      reply.mutable_group_receipt()->set_verdict("accepted");
      auto arrived = std::make_shared<ArrivedGroup>(
          ArrivedGroup{std::move(*packet.header.mutable_group()), std::move(packet.frames)});
      proto::Group& header = arrived->header;
      *header.mutable_ticket() = std::move(ticket);
      header.set_run(options_.run_name);
      header.set_worker(attendance_.Name(from.session));
      header.set_issued_s(issued_s);
      header.set_arrived_s(now);
      header.clear_at_issue();
      for (const proto::TicketLimit& limit : header.ticket().limits()) {
        proto::PolicyVersion* version = header.add_at_issue();
        version->set_policy(limit.policy());
        *version->mutable_version() = limit.least();
      }
      header.clear_at_arrival();
      for (const proto::PolicyVersion& version : Versions()) *header.add_at_arrival() = version;
      NoteGroup(now, from, packet, arrived.get());
      TakeIn(now, arrived);
    }
  }
  Answer(from, std::move(reply));
}

// With what was added on arrival, so that it can be read back as it went into a batch.
void Exchange::NoteGroup(double now, const Address& from, const wire::Packet& packet, ArrivedGroup* group) {
  proto::Header header;
  header.set_session(packet.header.session());
  header.set_call(packet.header.call());
  header.set_done_below(packet.header.done_below());
  *header.mutable_also_done() = packet.header.also_done();
  header.set_allocated_group(&group->header);  // lent, not copied
  group->place = NoteCall(now, from, header, group->frames);
  (void)header.release_group();
}

// What a group says of itself must fit the ticket, and no version may have written in it that does not exist.
absl::Status Exchange::CheckClaims(const proto::Group& group, const proto::Ticket& ticket) const {
  const std::string name = absl::StrCat("group of ticket ", ticket.id());
  if (group.episodes_size() != static_cast<int>(ticket.episodes())) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has ", group.episodes_size(), " episodes; ", ticket.episodes(), " were asked for"));
  }
  for (const proto::Episode& episode : group.episodes()) {
    for (const proto::Turn& turn : episode.turns()) {
      if (turn.version_runs().empty()) continue;
      const auto lane = lanes_.find(turn.policy());
      if (lane == lanes_.end()) {
        return absl::InvalidArgumentError(absl::StrCat(name, ": no policy is named ", turn.policy()));
      }
      const int64_t newest = lane->second.version() ? int64_t{*lane->second.version()} : int64_t{-1};
      for (const proto::VersionRun& run : turn.version_runs()) {
        const proto::Version& version = run.version();
        if (version.incarnation() < options_.incarnation) continue;
        if (version.incarnation() == options_.incarnation && version.number() <= newest) continue;
        return absl::InvalidArgumentError(absl::StrCat(name, " claims version ", version.incarnation(), ".",
                                                       version.number(), " of ", turn.policy(), "; the newest is ",
                                                       options_.incarnation, ".", newest));
      }
    }
  }
  return absl::OkStatus();
}

void Exchange::TakeIn(double now, const GroupPtr& group) {
  const proto::Ticket& ticket = group->header.ticket();
  uint32_t step = 0;
  for (const auto& [policy, lane] : lanes_) step = std::max(step, lane.version().value_or(0));
  switch (ticket.purpose()) {
    case proto::SFT: {
      const auto number = sft_numbers_.find(ticket.id());
      TANDEM_CHECK(number != sft_numbers_.end());
      warm_start_.Arrive(number->second, group);
      sft_numbers_.erase(number);
      return;
    }
    case proto::EVAL:
      TANDEM_CHECK(evaluation_.has_value());
      for (const proto::Episode& episode : group->header.episodes()) evaluation_->Add(episode);
      break;
    default:
      for (auto& [policy, lane] : lanes_) {
        lane.Arrive(group);
        WriteRejections(lane, now);
      }
  }
  outlet_->Sample(group->header, step, now);
}

}  // namespace tandem
