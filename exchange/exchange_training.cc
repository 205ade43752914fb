// Exchange: batches out, versions in and out.
#include <algorithm>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "exchange/exchange.h"

namespace tandem {
namespace {

constexpr double kLeastEss = 0.3;  // of the tokens; below, the gradient rests on a few of them

}  // namespace

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
    if (stage() == Stage::kTrain && !stopping_ && wait.request.step() == lane.version()) lane.TryCut(Versions(), now);
    rejected |= lane.to_issue() != to_issue;  // their places are free
    WriteRejections(lane, now);
    WriteOverBound(lane, now);
    return ServeTrainBatch(lane, wait);
  });
  return rejected || batch_waits_.size() != before;
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
  FillBatch(entries, past->versions, past->cut_s, options_.incarnation, past->mask_before, &batch, &frames);
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
  FillBatch(entries, Versions(), now, options_.incarnation, /*mask_before=*/0, &batch, &frames);
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

void Exchange::OnWeightsBegin(const Address& from, proto::WeightsBegin begin) {
  begin.set_policy(PolicyOf(from, begin.policy()));
  if (!lanes_.contains(begin.policy())) {
    return Refuse(from, absl::InvalidArgumentError(absl::StrCat("no policy is named ", begin.policy())));
  }
  if (attendance_.Find(from.session)->kind() != proto::TRAINER) {
    fetch_waits_.push_back({from, begin.policy(), begin.version(), begin.in_order()});
    return;
  }
  if (const absl::Status status = CheckTrainer(from, begin.policy(), /*first_rank=*/true); !status.ok()) {
    return Refuse(from, status);
  }
  Lane& lane = lanes_.at(begin.policy());
  const proto::Version& version = begin.version();
  const bool repeated = lane.version() && version.number() <= *lane.version();  // the store knows what it names
  if (version.incarnation() != options_.incarnation || !(repeated || lane.MayPublish(version.number()))) {
    return Refuse(from, absl::FailedPreconditionError(absl::StrCat(
                            "version ", version.incarnation(), ".", version.number(), " of ", lane.policy(),
                            " cannot be published: incarnation ", options_.incarnation, ", version ",
                            lane.version() ? absl::StrCat(*lane.version()) : "none", " is published, and ",
                            lane.batch() ? "a" : "no", " batch is being trained on")));
  }
  if (!lane.version() && warm_start_.step_of(lane.policy()) < warm_start_.steps()) {
    return Refuse(from, absl::FailedPreconditionError(absl::StrCat("version ", version.number(), " of ", lane.policy(),
                                                                   " after ", warm_start_.step_of(lane.policy()),
                                                                   " of ", warm_start_.steps(), " supervised steps")));
  }
  if (const absl::Status status = lane.store().Begin(begin); !status.ok()) return Refuse(from, status);
  proto::Header header = AckHeader();
  header.mutable_ack()->set_known(repeated && !lost_weights_.contains(lane.policy()));
  Answer(from, std::move(header));
}

void Exchange::OnWeightsChunk(const Address& from, proto::WeightsChunk chunk, const std::vector<wire::Frame>& frames) {
  chunk.set_policy(PolicyOf(from, chunk.policy()));
  const auto lane = lanes_.find(chunk.policy());
  if (lane == lanes_.end()) {
    return Refuse(from, absl::InvalidArgumentError(absl::StrCat("no policy is named ", chunk.policy())));
  }
  WeightStore& store = lane->second.store();
  if (attendance_.Find(from.session)->kind() == proto::TRAINER) {
    absl::Status status = CheckTrainer(from, chunk.policy(), /*first_rank=*/true);
    if (status.ok() && frames.size() != 1) status = absl::InvalidArgumentError("a chunk of weights has one frame");
    if (status.ok() && !store.Stages(chunk.version())) return AskToBegin(from, chunk.policy(), chunk.version());
    if (status.ok()) status = store.Chunk(chunk, frames[0]);
    return status.ok() ? Acknowledge(from) : Refuse(from, status);
  }
  const StoredWeights* weights = store.Find(chunk.version());
  if (weights == nullptr && lost_weights_.contains(chunk.policy())) {  // start over, once they are back
    fetch_waits_.push_back({from, chunk.policy(), chunk.version(), /*in_order=*/false});
    return;
  }
  if (weights == nullptr && store.newest() != nullptr) {
    return Answer(from, BeginHeader(chunk.policy(), *store.newest()));  // gone by now: start over with the newest
  }
  if (weights == nullptr || chunk.index() >= weights->chunks.size()) {
    return Refuse(from, absl::InvalidArgumentError(absl::StrCat("there is no chunk ", chunk.index(), " of version ",
                                                                chunk.version().number(), " of ", chunk.policy())));
  }
  proto::Header header;
  *header.mutable_weights_chunk() = chunk;
  uint64_t offset = 0;
  for (uint32_t i = 0; i < chunk.index(); ++i) offset += weights->chunks[i]->size();
  header.mutable_weights_chunk()->set_offset(offset);
  Answer(from, std::move(header), {weights->chunks[chunk.index()]});
}

// The exchange that had the beginning of this publication died.
void Exchange::AskToBegin(const Address& from, const std::string& policy, const proto::Version& version) {
  proto::Header header;
  header.mutable_weights_begin()->set_policy(policy);
  *header.mutable_weights_begin()->mutable_version() = version;
  Answer(from, std::move(header));
}

void Exchange::OnWeightsCommit(double now, const Address& from, const proto::Header& header) {
  proto::WeightsCommit commit = header.weights_commit();
  commit.set_policy(PolicyOf(from, commit.policy()));
  if (const absl::Status status = CheckTrainer(from, commit.policy(), /*first_rank=*/true); !status.ok()) {
    return Refuse(from, status);
  }
  if (commit.rejected_non_finite()) {
    NoteCall(now, from, header);
    return OnRejectedStep(now, from, commit);
  }
  Lane& lane = lanes_.at(commit.policy());
  if (recalled_place_) {
    lane.store().Recall(commit.version(), commit.digest());
  } else if (!lane.store().Stages(commit.version())) {
    return AskToBegin(from, commit.policy(), commit.version());
  } else if (const absl::Status status = lane.store().Commit(commit, now); !status.ok()) {
    return Refuse(from, status);
  }
  const uint32_t number = commit.version().number();
  const bool is_new = !lane.version() || number > *lane.version();
  const bool found = number == lane.version() && lost_weights_.contains(lane.policy());
  if (is_new && number >= options_.config.train().steps() && !recalled_place_) {
    outlet_->KeepWeights(lane.policy(), lane.store().newest()->chunks);
  }
  if (is_new || found) {
    NoteCall(now, from, header);
    lost_weights_.erase(lane.policy());
  }
  if (is_new) Published(lane, number, commit.metrics(), now);
  Acknowledge(from);
}

void Exchange::Archive(const Lane& lane) {
  BatchArchive::Batch past;
  past.cut_s = lane.cut_s();
  past.versions = lane.batch_versions();
  past.mask_before = lane.mask_before();
  for (const Batcher::Entry& entry : lane.batch_groups()) past.groups.push_back(entry.group->place);
  archive_.Add(lane.policy(), proto::TRAIN, lane.batch()->step(), std::move(past));
}

void Exchange::Published(Lane& lane, uint32_t number, const proto::StepMetrics& metrics, double now) {
  const bool step = lane.batch() != nullptr;
  if (step) Archive(lane);
  lane.Publish(number);
  served_.erase(lane.policy());
  proto::Announcement announcement;
  announcement.mutable_version()->set_policy(lane.policy());
  announcement.mutable_version()->mutable_version()->set_incarnation(options_.incarnation);
  announcement.mutable_version()->mutable_version()->set_number(number);
  outlet_->Announce(announcement);
  if (lane.complete()) attendance_.Release(lane.policy());
  if (!step) return;
  proto::StepMetrics line = metrics;
  line.set_policy(lane.policy());
  line.set_step(number);
  line.set_version(number);
  line.set_staleness_bound(lane.bound());
  if (line.step_s() == 0) line.set_step_s(now - step_began_s_[lane.policy()]);
  step_began_s_[lane.policy()] = now;
  outlet_->Metrics("step", line, now);
  WriteLedger(lane, now);
  WarnOfFewSamples(line, now);
}

void Exchange::WarnOfFewSamples(const proto::StepMetrics& step, double now) {
  if (step.tokens_trained() == 0 || step.ess() >= kLeastEss) return;
  const auto [last, first] = few_samples_warned_s_.emplace(step.policy(), now);
  if (!first && now - last->second < options_.slow_policy_s) return;
  last->second = now;
  outlet_->Warn(absl::StrCat(
      "step ", step.step(), " of ", step.policy(), ": the importance weights leave an effective sample size of ",
      static_cast<int>(100 * step.ess() + 0.5), " %; a smaller staleness.bound or a smaller learning rate would help"));
}

void Exchange::OnRejectedStep(double now, const Address& from, const proto::WeightsCommit& commit) {
  Lane& lane = lanes_.at(commit.policy());
  if (lane.batch() == nullptr || VersionKey(commit.version()) != std::pair(options_.incarnation, *lane.version())) {
    return Refuse(
        from, absl::FailedPreconditionError(absl::StrCat("no step from version ", commit.version().number(), " of ",
                                                         lane.policy(), " is being taken, so none can be rejected")));
  }
  lane.RejectBatch("non_finite");
  served_.erase(lane.policy());
  WriteRejections(lane, now);
  proto::StepMetrics line = commit.metrics();
  line.set_policy(lane.policy());
  line.set_version(*lane.version());
  outlet_->Metrics("non_finite", line, now);
  outlet_->Warn(absl::StrCat("the step from version ", *lane.version(), " of ", lane.policy(),
                             " was not taken: its loss or gradient is not finite"));
  WriteLedger(lane, now);
  Acknowledge(from);
}

void Exchange::ServeFetches() {
  std::erase_if(fetch_waits_, [&](const FetchWait& wait) {
    const WeightStore& store = lanes_.at(wait.policy).store();
    const StoredWeights* newest = store.newest();
    if (lost_weights_.contains(wait.policy)) return false;  // what is there is older than what workers have
    if (newest == nullptr || VersionKey(newest->version) < VersionKey(wait.least)) return false;
    Answer(wait.from, BeginHeader(wait.policy, wait.in_order ? *store.OldestFrom(wait.least) : *newest));
    return true;
  });
}

proto::Header Exchange::BeginHeader(const std::string& policy, const StoredWeights& weights) {
  proto::Header header;
  proto::WeightsBegin& begin = *header.mutable_weights_begin();
  begin.set_policy(policy);
  *begin.mutable_version() = weights.version;
  begin.set_bytes(weights.bytes);
  begin.set_chunks(weights.chunks.size());
  begin.set_digest(weights.digest);
  begin.set_published_s(weights.published_s);
  return header;
}

}  // namespace tandem
