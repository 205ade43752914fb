// Exchange: versions in and out, and what a step leads to.
#include "base/status.h"
#include "exchange/exchange.h"

namespace tandem {
namespace {

constexpr double kLeastEss = 0.3;  // of the tokens; below, the gradient rests on a few of them

}  // namespace

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
  past.masked = lane.masked();
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
