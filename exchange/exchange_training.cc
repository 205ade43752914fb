// Exchange: batches out, supervised steps done.
#include <algorithm>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "exchange/exchange.h"

namespace tandem {

void Exchange::OnBatchRequest(const Address& from, proto::BatchRequest request) {
  request.set_policy(PolicyOf(from, request.policy()));
  if (const absl::Status status = CheckTrainer(from, request.policy(), /*first_rank=*/false); !status.ok()) {
    return Refuse(from, status);
  }
  batch_waits_.push_back({from, attendance_.Find(from.session)->rank(), std::move(request)});
}

bool Exchange::ServeBatches(double now) {
  const size_t before = batch_waits_.size();
  bool rejected = false;
  std::erase_if(batch_waits_, [&](const BatchWait& wait) {
    if (stopping_ && !BeganBeforeStop(wait)) {
      AnswerStopping(wait);
      return true;
    }
    if (AskForWeights(wait) || ServePastBatch(wait)) return true;
    if (wait.request.purpose() == proto::SFT) return ServeSftBatch(wait, now);
    Lane& lane = lanes_.at(wait.request.policy());
    const uint64_t to_issue = lane.to_issue();
    const bool in_turn = stage() == Stage::kTrain && !stopping_ && wait.request.step() == lane.version();
    if (in_turn && lane.batch() == nullptr) {
      if (WaitsFor(lane)) {
        lane.RejectLate(Versions());  // or they would fill the gate for as long as the lane waits
      } else {
        lane.TryCut(Versions(), now);
      }
    }
    rejected |= lane.to_issue() != to_issue;  // their places are free
    WriteRejections(lane, now);
    WriteOverBound(lane, now);
    return ServeTrainBatch(lane, wait);
  });
  return rejected || batch_waits_.size() != before;
}

// A partner of which a group still to be trained on would be beyond its bound on drift after the next step of `lane`
// (partner_drift.h); null: the step may be taken.
const Lane* Exchange::WaitsFor(const Lane& lane) const {
  for (const auto& [name, partner] : lanes_) {
    if (&partner == &lane || !partner.drift_bound() || partner.on_limit() != proto::PACE || partner.complete())
      continue;
    if (lane.next() < partner.next()) continue;
    const std::optional<int64_t> oldest = partner.OldestOf(lane.policy());
    if (!oldest || lane.next() + 1 <= *oldest + int64_t{*partner.drift_bound()}) continue;
    if (lane.next() > partner.next() || !CutsNow(partner)) return &partner;
  }
  return nullptr;
}

// Whether a batch could be cut for a trainer that waits for it.
bool Exchange::CutsNow(const Lane& lane) const {
  return lane.MayCut() && std::any_of(batch_waits_.begin(), batch_waits_.end(), [&](const BatchWait& wait) {
           return wait.request.policy() == lane.policy() && wait.request.purpose() == proto::TRAIN &&
                  wait.request.step() == lane.version();
         });
}

// A step that one rank has its batch of goes to the others too, or they would wait for each other.
bool Exchange::BeganBeforeStop(const BatchWait& wait) const {
  const std::string& policy = wait.request.policy();
  const uint32_t step = wait.request.step();
  if (wait.request.purpose() == proto::SFT) {
    const auto served = sft_served_.find(policy);
    return served != sft_served_.end() && step < served->second && warm_start_.Wanted(policy, step);
  }
  const proto::Batch* batch = lanes_.at(policy).batch();
  return batch != nullptr && batch->step() == step;
}

void Exchange::AnswerStopping(const BatchWait& wait) {
  proto::Header header;
  proto::Batch& batch = *header.mutable_batch();
  batch.set_policy(wait.request.policy());
  batch.set_purpose(wait.request.purpose());
  batch.set_step(wait.request.step());
  batch.set_finished(true);
  batch.set_stopping(true);
  attendance_.Told(wait.from.session);
  Answer(wait.from, std::move(header));
}

// After the exchange died: the trainer whose call waits here has the weights. Whether the call was answered.
bool Exchange::AskForWeights(const BatchWait& wait) {
  if (wait.rank > 0 || wait.request.purpose() != proto::TRAIN || !lost_weights_.contains(wait.request.policy())) {
    return false;
  }
  if (wait.request.step() != lanes_.at(wait.request.policy()).version()) return false;  // it catches up first
  proto::Header header;
  header.mutable_batch()->set_policy(wait.request.policy());
  header.mutable_batch()->set_step(wait.request.step());
  header.mutable_batch()->set_publish_again(true);
  Answer(wait.from, std::move(header));
  return true;
}

// A batch that was trained on before, for a trainer that goes on from a checkpoint. Whether the call was answered.
bool Exchange::ServePastBatch(const BatchWait& wait) {
  const proto::BatchRequest& request = wait.request;
  const BatchArchive::Batch* past = archive_.Find(request.policy(), request.purpose(), request.step());
  if (past == nullptr) return false;
  std::vector<Batcher::Entry> entries;
  for (const uint64_t place : past->groups) {
    GroupPtr group = outlet_->ReadBack(place);
    if (group == nullptr) {
      Refuse(wait.from, absl::DataLossError(absl::StrCat("the batch of step ", request.step(), " of ", request.policy(),
                                                         " cannot be read back from the journal")));
      return true;
    }
    entries.push_back({kNeverDue, VersionsOf(group->header, request.policy(), options_.incarnation), std::move(group)});
  }
  proto::Header header;
  proto::Batch& batch = *header.mutable_batch();
  batch.set_policy(request.policy());
  batch.set_purpose(request.purpose());
  batch.set_step(request.step());
  std::vector<wire::Frame> frames;
  FillBatch(entries, past->versions, past->cut_s, options_.incarnation, past->masked, &batch, &frames);
  Answer(wait.from, std::move(header), std::move(frames));
  return true;
}

// Whether the call was answered.
bool Exchange::ServeTrainBatch(Lane& lane, const BatchWait& wait) {
  const uint32_t step = wait.request.step();
  proto::Header header;
  if (step >= options_.config.train().steps()) {
    header.mutable_batch()->set_policy(lane.policy());
    header.mutable_batch()->set_purpose(proto::TRAIN);
    header.mutable_batch()->set_step(step);
    header.mutable_batch()->set_finished(true);
    Answer(wait.from, std::move(header));
    return true;
  }
  // Ranks other than 0 may ask for the next step before rank 0 has published the version that it starts from.
  if (lane.version() && (step < *lane.version() || step > *lane.version() + 1)) {
    Refuse(wait.from,
           absl::FailedPreconditionError(absl::StrCat("a batch for the step from version ", step, " of ", lane.policy(),
                                                      " was asked for; version ", *lane.version(), " is published")));
    return true;
  }
  if (lane.batch() == nullptr || lane.batch()->step() != step) return false;
  // A rank that has this batch and asks for the step again knows already that the step was not taken (non-finite),
  // which rank 0 is about to say.
  if (wait.rank > 0 && !served_[lane.policy()].insert(wait.from.session).second) return false;
  std::vector<wire::Frame> frames;
  lane.FillBatch(header.mutable_batch(), &frames);
  Answer(wait.from, std::move(header), std::move(frames));
  return true;
}

bool Exchange::ServeSftBatch(const BatchWait& wait, double now) {
  const proto::BatchRequest& request = wait.request;
  proto::Header header;
  proto::Batch& batch = *header.mutable_batch();
  batch.set_policy(request.policy());
  batch.set_purpose(proto::SFT);
  batch.set_step(request.step());
  if (request.step() >= warm_start_.steps()) {
    batch.set_finished(true);
    Answer(wait.from, std::move(header));
    return true;
  }
  if (!warm_start_.Wanted(request.policy(), request.step())) {
    Refuse(wait.from,
           absl::FailedPreconditionError(absl::StrCat("supervised step ", request.step(), " of ", request.policy(),
                                                      " is done; it is at ", warm_start_.step_of(request.policy()))));
    return true;
  }
  const std::optional<std::vector<GroupPtr>> groups = warm_start_.Batch(request.step());
  if (!groups) return false;
  std::vector<Batcher::Entry> entries;
  for (const GroupPtr& group : *groups) entries.push_back({kNeverDue, std::nullopt, group});
  std::vector<wire::Frame> frames;
  FillBatch(entries, Versions(), now, options_.incarnation, /*beyond=*/{}, &batch, &frames);
  uint32_t& served = sft_served_[request.policy()];
  served = std::max(served, request.step() + 1);
  Answer(wait.from, std::move(header), std::move(frames));
  return true;
}

// "7 of 32 groups are missing: worker-0 plays 5, worker-1 plays 2".
std::string Exchange::MissingOf(const BatchWait& wait) const {
  std::vector<std::string> players;
  for (const auto& [session, tickets] : book_.holders()) {
    players.push_back(absl::StrCat(attendance_.Name(session), " plays ", tickets));
  }
  const std::string who = players.empty() ? "nobody plays" : absl::StrJoin(players, ", ");
  if (wait.request.purpose() == proto::SFT) {
    return absl::StrCat(warm_start_.MissingOf(wait.request.step()), " of ", options_.config.sft().episodes_per_step(),
                        " scripted episodes are missing: ", who);
  }
  if (stage() != Stage::kTrain) {
    std::vector<std::string> without;
    for (const auto& [policy, lane] : lanes_) {
      if (!lane.version()) without.push_back(policy);
    }
    return absl::StrCat("the run is at stage ", StageName(stage()),
                        without.empty() ? "" : absl::StrCat("; no version yet of ", absl::StrJoin(without, ", ")), "; ",
                        who);
  }
  const Lane& lane = lanes_.at(wait.request.policy());
  if (lane.batch() != nullptr || wait.request.step() != lane.version()) {
    return absl::StrCat("rank 0 of ", lane.policy(), " is not done with the step before");
  }
  if (const Lane* partner = WaitsFor(lane)) {
    return absl::StrCat("policy ", partner->policy(), " has to train first on what ", lane.policy(),
                        " would drift too far from (its staleness.drift_bound is ", *partner->drift_bound(), ")");
  }
  if (lane.arrived() >= lane.groups_per_step()) return absl::StrCat("groups that are due first are missing: ", who);
  std::set<std::string> others = held_up_by_;
  others.erase(lane.policy());
  return absl::StrCat(lane.groups_per_step() - lane.arrived(), " of ", lane.groups_per_step(),
                      " groups are missing: ", who,
                      others.empty() ? "" : "; tickets wait for policy " + absl::StrJoin(others, ", "));
}

void Exchange::OnStepDone(double now, const Address& from, proto::StepDone done) {
  done.set_policy(PolicyOf(from, done.policy()));
  if (const absl::Status status = CheckTrainer(from, done.policy(), /*first_rank=*/true); !status.ok()) {
    return Refuse(from, status);
  }
  if (archive_.Find(done.policy(), done.purpose(), done.step()) != nullptr) return Acknowledge(from);  // once more
  BatchArchive::Batch past;
  past.cut_s = now;
  past.versions = Versions();
  for (const GroupPtr& group : warm_start_.Arrived(done.step())) past.groups.push_back(group->place);
  if (done.purpose() != proto::SFT || !warm_start_.Finish(done.policy(), done.step())) {
    return Refuse(from, absl::FailedPreconditionError(absl::StrCat("supervised step ", done.step(), " of ",
                                                                   done.policy(), " cannot be done; it is at ",
                                                                   warm_start_.step_of(done.policy()))));
  }
  archive_.Add(done.policy(), proto::SFT, done.step(), std::move(past));
  proto::StepMetrics line = done.metrics();
  line.set_policy(done.policy());
  line.set_step(done.step() + 1);
  outlet_->Metrics("sft", line, now);
  if (done.step() + 1 == warm_start_.steps()) {
    outlet_->Metrics("sft_ledger", warm_start_.ledger(done.policy()).Metrics(), now);
  }
  Acknowledge(from);
}

}  // namespace tandem
