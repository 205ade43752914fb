#include "exchange/link.h"

#include <algorithm>
#include <utility>

#include "base/digest.h"
#include "base/status.h"

namespace tandem {
namespace {

constexpr uint32_t kChunksAtOnce = 4;  // asked for and not here yet
constexpr int kPublications = 5;       // tries to publish one version while exchanges die

std::string Name(const std::string& policy, const proto::Version& version) {
  return absl::StrCat("version ", version.incarnation(), ".", version.number(), " of ", policy);
}

}  // namespace

WorkerLink::WorkerLink(std::unique_ptr<wire::Client> client) : client_(std::move(client)) {}
WorkerLink::~WorkerLink() = default;

const proto::Welcome& WorkerLink::welcome() const { return client_->welcome(); }

void WorkerLink::RequestTickets(uint32_t credit) {
  TANDEM_CHECK(!tickets_requested_);
  tickets_requested_ = true;
  proto::Header header;
  header.mutable_ticket_request()->set_credit(credit);
  calls_[client_->Start(std::move(header), {}, "tickets")] = {CallKind::kTickets, "", 0};
}

bool WorkerLink::tickets_requested() const { return tickets_requested_; }

void WorkerLink::SubmitGroup(proto::Group group, std::vector<wire::Frame> frames) {
  TANDEM_CHECK(submit_credit() > 0);
  ++unanswered_groups_;
  const std::string what = absl::StrCat("receipt of the group of ticket ", group.ticket().id());
  proto::Header header;
  *header.mutable_group() = std::move(group);
  calls_[client_->Start(std::move(header), std::move(frames), what)] = {CallKind::kGroup, "", 0};
}

uint32_t WorkerLink::submit_credit() const {
  const uint32_t credit = std::max(1u, client_->welcome().submit_credit());
  return credit > unanswered_groups_ ? credit - unanswered_groups_ : 0;
}

void WorkerLink::FetchWeights(const std::string& policy, const proto::Version& least, bool in_order) {
  const auto [fetch, is_new] = fetches_.emplace(policy, Fetch{});
  if (!is_new) return;
  fetch->second.attempt = next_attempt_++;
  proto::Header header;
  header.mutable_weights_begin()->set_policy(policy);
  *header.mutable_weights_begin()->mutable_version() = least;
  header.mutable_weights_begin()->set_in_order(in_order);
  calls_[client_->Start(std::move(header), {}, Name(policy, least))] = {CallKind::kWeights, policy,
                                                                        fetch->second.attempt};
}

void WorkerLink::SetMetrics(proto::RolloutMetrics metrics) {
  proto::Heartbeat heartbeat;
  *heartbeat.mutable_rollout() = std::move(metrics);
  client_->set_heartbeat(std::move(heartbeat));
}

absl::StatusOr<std::optional<WorkerEvent>> WorkerLink::Poll(double timeout_s) {
  // What is no event: go on with what is there already, without waiting anew.
  for (double timeout = timeout_s;; timeout = 0) {
    TANDEM_ASSIGN_OR_RETURN(std::optional<wire::Arrival> arrival, client_->Poll(timeout));
    if (!arrival) return std::optional<WorkerEvent>();
    TANDEM_ASSIGN_OR_RETURN(std::optional<WorkerEvent> event, Handle(*std::move(arrival)));
    if (event) return event;
  }
}

absl::StatusOr<std::optional<WorkerEvent>> WorkerLink::Handle(wire::Arrival arrival) {
  const proto::Header& header = arrival.packet.header;
  if (arrival.call == 0) {
    const proto::Announcement& announcement = header.announcement();
    if (announcement.finished()) return RunFinished{};
    return VersionAnnounced{announcement.version().policy(), announcement.version().version()};
  }
  const auto call = calls_.find(arrival.call);
  if (call == calls_.end()) return std::optional<WorkerEvent>();
  const OpenCall open = std::move(call->second);
  calls_.erase(call);
  if (header.has_refusal()) return absl::FailedPreconditionError(header.refusal().reason());
  switch (open.kind) {
    case CallKind::kTickets:
      tickets_requested_ = false;
      return TicketsArrived{std::move(*arrival.packet.header.mutable_ticket_grant())};
    case CallKind::kGroup:
      --unanswered_groups_;
      return GroupAnswered{header.group_receipt().verdict()};
    case CallKind::kWeights:
      break;
  }
  return HandleWeights(open, arrival.packet);
}

absl::StatusOr<std::optional<WorkerEvent>> WorkerLink::HandleWeights(const OpenCall& call, const wire::Packet& packet) {
  const std::string& policy = call.policy;
  const auto found = fetches_.find(policy);
  if (found == fetches_.end() || found->second.attempt != call.attempt) return std::optional<WorkerEvent>();
  Fetch& fetch = found->second;
  if (packet.header.has_weights_begin()) {
    // The answer to the first question; or, to a chunk's, that this version is gone and which one to start over with.
    fetch = Fetch{.begin = packet.header.weights_begin(), .attempt = next_attempt_++};
    fetch.bytes = std::move(spare_[policy]);
    fetch.bytes.clear();
    fetch.bytes.reserve(fetch.begin.bytes());
    AskForChunks(policy);
    return std::optional<WorkerEvent>();
  }
  const proto::WeightsChunk& chunk = packet.header.weights_chunk();
  if (packet.frames.size() != 1 || chunk.index() >= fetch.begin.chunks()) {
    return absl::DataLossError(absl::StrCat(Name(policy, fetch.begin.version()), ": chunk ", chunk.index(), " of ",
                                            fetch.begin.chunks(), " came with ", packet.frames.size(), " frames"));
  }
  fetch.early[chunk.index()] = packet.frames[0];
  for (auto next = fetch.early.find(fetch.joined); next != fetch.early.end(); next = fetch.early.find(fetch.joined)) {
    fetch.bytes += *next->second;
    fetch.digest.Add(*next->second);
    fetch.early.erase(next);
    ++fetch.joined;
  }
  if (fetch.joined == fetch.begin.chunks()) return Finish(policy);
  AskForChunks(policy);
  return WeightsComing{};
}

void WorkerLink::AskForChunks(const std::string& policy) {
  Fetch& fetch = fetches_.at(policy);
  while (fetch.asked < fetch.begin.chunks() && fetch.asked < fetch.joined + kChunksAtOnce) {
    proto::Header header;
    header.mutable_weights_chunk()->set_policy(policy);
    *header.mutable_weights_chunk()->mutable_version() = fetch.begin.version();
    header.mutable_weights_chunk()->set_index(fetch.asked);
    const std::string what = absl::StrCat("chunk ", fetch.asked, " of ", Name(policy, fetch.begin.version()));
    calls_[client_->Start(std::move(header), {}, what)] = {CallKind::kWeights, policy, fetch.attempt};
    ++fetch.asked;
  }
}

absl::StatusOr<std::optional<WorkerEvent>> WorkerLink::Finish(const std::string& policy) {
  Fetch fetch = std::move(fetches_.at(policy));
  fetches_.erase(policy);
  WeightsArrived weights{policy, fetch.begin.version(), std::move(fetch.bytes), fetch.begin.published_s()};
  const std::string digest = fetch.digest.Hex();
  if (weights.bytes.size() == fetch.begin.bytes() && digest == fetch.begin.digest()) return weights;
  return absl::DataLossError(absl::StrCat(Name(policy, weights.version), ": ", weights.bytes.size(),
                                          " bytes with digest ", digest, " arrived; ", fetch.begin.bytes(), " with ",
                                          fetch.begin.digest(), " were announced"));
}

TrainerLink::TrainerLink(std::unique_ptr<wire::Client> client, uint32_t chunk_bytes)
    : client_(std::move(client)), chunk_bytes_(chunk_bytes) {}
TrainerLink::~TrainerLink() = default;

const proto::Welcome& TrainerLink::welcome() const { return client_->welcome(); }

// Calls name no policy: the exchange knows from the hello whose trainer this is.
absl::StatusOr<TrainingBatch> TrainerLink::NextBatch(proto::Purpose purpose, uint32_t step) {
  proto::Header header;
  header.mutable_batch_request()->set_purpose(purpose);
  header.mutable_batch_request()->set_step(step);
  const char* kind = purpose == proto::SFT ? "supervised batch " : "batch of the step from version ";
  TANDEM_ASSIGN_OR_RETURN(wire::Packet packet, client_->Call(std::move(header), {}, absl::StrCat(kind, step)));
  if (!packet.header.has_batch()) return absl::InternalError(absl::StrCat(kind, step, ": the answer is no batch"));
  return TrainingBatch{std::move(*packet.header.mutable_batch()), std::move(packet.frames)};
}

absl::Status TrainerLink::Publish(const proto::Version& version, std::string_view weights,
                                  const proto::StepMetrics& metrics) {
  for (int i = 0; i < kPublications; ++i) {
    TANDEM_ASSIGN_OR_RETURN(const bool published, TryPublish(version, weights, metrics));
    if (published) return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat("publishing version ", version.incarnation(), ".", version.number(),
                                             ": the exchange lost its beginning ", kPublications, " times"));
}

// False: the exchange died meanwhile, and the next one asks to start over.
absl::StatusOr<bool> TrainerLink::TryPublish(const proto::Version& version, std::string_view weights,
                                             const proto::StepMetrics& metrics) {
  const std::string what = absl::StrCat("publishing version ", version.incarnation(), ".", version.number());
  const std::string digest = Digest(weights);
  const uint32_t chunks = static_cast<uint32_t>((weights.size() + chunk_bytes_ - 1) / chunk_bytes_);
  proto::Header header;
  proto::WeightsBegin& begin = *header.mutable_weights_begin();
  *begin.mutable_version() = version;
  begin.set_bytes(weights.size());
  begin.set_chunks(chunks);
  begin.set_digest(digest);
  TANDEM_ASSIGN_OR_RETURN(wire::Packet answer, client_->Call(header, {}, what));
  if (answer.header.ack().known()) return true;
  for (uint32_t i = 0; i < chunks; ++i) {
    const uint64_t offset = uint64_t{i} * chunk_bytes_;
    proto::WeightsChunk& chunk = *header.mutable_weights_chunk();
    *chunk.mutable_version() = version;
    chunk.set_index(i);
    chunk.set_offset(offset);
    wire::Frame data = wire::MakeFrame(std::string(weights.substr(offset, chunk_bytes_)));
    TANDEM_ASSIGN_OR_RETURN(answer, client_->Call(header, {std::move(data)}, what));
    if (answer.header.has_weights_begin()) return false;
  }
  proto::WeightsCommit& commit = *header.mutable_weights_commit();
  *commit.mutable_version() = version;
  commit.set_digest(digest);
  *commit.mutable_metrics() = metrics;
  TANDEM_ASSIGN_OR_RETURN(answer, client_->Call(std::move(header), {}, what));
  return !answer.header.has_weights_begin();
}

absl::Status TrainerLink::RejectNonFinite(const proto::Version& version, const proto::StepMetrics& metrics) {
  proto::Header header;
  proto::WeightsCommit& commit = *header.mutable_weights_commit();
  *commit.mutable_version() = version;
  commit.set_rejected_non_finite(true);
  *commit.mutable_metrics() = metrics;
  return client_->Call(std::move(header), {}, "giving up a non-finite step").status();
}

absl::Status TrainerLink::FinishSftStep(uint32_t step, const proto::StepMetrics& metrics) {
  proto::Header header;
  header.mutable_step_done()->set_purpose(proto::SFT);
  header.mutable_step_done()->set_step(step);
  *header.mutable_step_done()->mutable_metrics() = metrics;
  return client_->Call(std::move(header), {}, absl::StrCat("finishing supervised step ", step)).status();
}

}  // namespace tandem
