#include "rollout/engine/engine.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

constexpr int kPlaceBits = 24;
constexpr int64_t kMostInstallParts = 32;

std::string Name(VersionId version) { return absl::StrCat("version ", version.incarnation, ".", version.number); }

}  // namespace

Engine::Engine(std::unique_ptr<Decoder> decoder, const EngineOptions& options)
    : decoder_(std::move(decoder)), options_(options), pages_(decoder_->pages()) {
  TANDEM_CHECK(options_.max_batch > 0);
  TANDEM_CHECK(decoder_->pages() >= CachePages(decoder_->config().context, 1));
}

Engine::~Engine() = default;

absl::StatusOr<Engine::RequestId> Engine::Submit(GenerateRequest request, OnToken on_token, OnDone on_done) {
  TANDEM_CHECK(options_.clock != nullptr || std::isinf(request.deadline_s));
  TANDEM_RETURN_IF_ERROR(CheckRequest(request, decoder_->config()));
  std::optional<VersionId> missing;
  request.EachNamed([&](VersionId version) {
    if (!missing && !Holds(version)) missing = version;
  });
  if (missing) return absl::FailedPreconditionError(absl::StrCat(Name(*missing), " is not here"));
  if (free_places_.empty()) {
    TANDEM_CHECK(pool_.size() < (1u << kPlaceBits));
    free_places_.push_back(static_cast<uint32_t>(pool_.size()));
    pool_.push_back(std::make_unique<Turn>());
  }
  const uint32_t place = free_places_.back();
  free_places_.pop_back();
  Turn& turn = *pool_[place];
  turn = Turn();
  turn.id = next_serial_++ << kPlaceBits | place;
  turn.sequence = Sequence(std::move(request), decoder_->config().context);
  turn.sequence.request.EachNamed([this](VersionId version) { ++sets_.at(version).turns; });
  with_deadline_ += std::isfinite(turn.sequence.request.deadline_s);
  turn.on_token = std::move(on_token);
  turn.on_done = std::move(on_done);
  waiting_.push_back(turn.id);
  ++live_;
  return turn.id;
}

void Engine::Cancel(RequestId id) {
  if (Turn* turn = Find(id)) Finish(*turn, proto::CANCELLED);
}

absl::Status Engine::Install(VersionId version, std::span<const float> weights) {
  TANDEM_CHECK(!stepping_);
  PackIncoming();
  if (has_weights_ && version == version_) return absl::OkStatus();
  TANDEM_RETURN_IF_ERROR(CheckNew(version, weights.size()));
  has_weights_ = true;
  version_ = version;
  DropOldVersions();  // now, so that the oldest one's memory is used
  const int32_t set = TakeSet();
  if (expects_updates_ && sets_made_ == 1) {
    free_sets_.push_back(sets_made_++);
    decoder_->Use(free_sets_.back());
    TANDEM_RETURN_IF_ERROR(decoder_->Load(weights));
  }
  decoder_->Use(set);
  TANDEM_RETURN_IF_ERROR(decoder_->Load(weights));
  PutInForce(version, set);
  return absl::OkStatus();
}

absl::Status Engine::InstallOverSteps(VersionId version, std::span<const float> weights) {
  TANDEM_CHECK(!stepping_);
  if (live_ == 0 || !has_weights_) return Install(version, weights);
  PackIncoming();
  if (version == version_) return absl::OkStatus();
  TANDEM_RETURN_IF_ERROR(CheckNew(version, weights.size()));
  const auto count = static_cast<int64_t>(weights.size());
  const int64_t parts = std::min(kMostInstallParts, (count + options_.install_part - 1) / options_.install_part);
  incoming_ = {version, weights, TakeSet(), parts};
  return absl::OkStatus();
}

absl::Status Engine::CheckNew(VersionId version, size_t weights) const {
  if (has_weights_ && version < version_) {
    return absl::FailedPreconditionError(absl::StrCat(Name(version), " is older than the installed ", Name(version_)));
  }
  const int64_t expected = ParameterCount(decoder_->config());
  if (static_cast<int64_t>(weights) == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(weights, " weights; the model has ", expected));
}

int32_t Engine::TakeSet() {
  if (free_sets_.empty()) free_sets_.push_back(sets_made_++);
  const int32_t set = free_sets_.back();
  free_sets_.pop_back();
  return set;
}

// Up to so many more parts of what is on its way, if anything is.
void Engine::PackIncoming(int64_t parts) {
  for (; incoming_ && parts > 0; --parts) {
    install_status_ = decoder_->LoadPart(incoming_->set, incoming_->weights, incoming_->packed, incoming_->parts);
    if (!install_status_.ok()) {
      free_sets_.push_back(incoming_->set);
      incoming_.reset();
    } else if (++incoming_->packed == incoming_->parts) {
      version_ = incoming_->version;
      DropOldVersions();
      PutInForce(version_, incoming_->set);
      incoming_.reset();
    }
  }
}

void Engine::PutInForce(VersionId version, int32_t set) {
  sets_[version] = {set};
  if (options_.on_swap == KeyValues::kKeep) return;
  for (const RequestId id : active_) {
    Turn* turn = Find(id);
    if (turn == nullptr || !turn->active || turn->sequence.names_readers()) continue;
    Restart(*turn);
  }
}

// All but the newest `keep_` (there is a newer one now) and those that live turns name.
void Engine::DropOldVersions() {
  auto droppable = static_cast<int64_t>(sets_.size()) - static_cast<int64_t>(keep_);
  for (auto it = sets_.begin(); it != sets_.end() && droppable > 0; --droppable) {
    if (it->second.turns > 0) {
      ++it;
      continue;
    }
    free_sets_.push_back(it->second.set);
    batches_.erase(it->first);
    it = sets_.erase(it);
  }
}

int64_t Engine::Step() {
  TANDEM_CHECK(!stepping_);
  if (!has_weights_) return 0;
  PackIncoming(live_ > 0 ? 1 : INT64_MAX);
  stepping_ = true;
  int64_t generated = 0;
  if (with_deadline_ > 0) EndOverdue();
  while (generated == 0 && live_ > 0) {
    Admit();
    Plan();
    generated = RunBatches();
  }
  stepping_ = false;
  return generated;
}

Engine::Turn* Engine::Find(RequestId id) {
  const uint64_t place = id & ((uint64_t{1} << kPlaceBits) - 1);
  return id != 0 && place < pool_.size() && pool_[place]->id == id ? pool_[place].get() : nullptr;
}

// Ends the turns whose deadline has passed.
void Engine::EndOverdue() {
  const double now = options_.clock->Now();
  std::vector<RequestId> overdue;
  for (const auto& turn : pool_) {
    if (turn->id != 0 && turn->sequence.request.deadline_s <= now) overdue.push_back(turn->id);
  }
  for (const RequestId id : overdue) {
    if (Turn* turn = Find(id)) Finish(*turn, proto::OVERDUE);
  }
}

// Lets waiting turns in, in their order, as long as there is room for what they have to read in.
void Engine::Admit() {
  std::erase_if(active_, [this](RequestId id) {
    const Turn* turn = Find(id);
    return turn == nullptr || !turn->active;
  });
  int64_t available = pages_.available();
  while (!waiting_.empty() && turns_active_ < options_.max_batch) {
    Turn* turn = Find(waiting_.front());
    if (turn != nullptr) {
      const int64_t needed = CachePages(turn->sequence.known(), 1);
      if (needed > available && turns_active_ > 0) return;
      available -= needed;
      turn->sequence.result.output.reserve(static_cast<size_t>(turn->sequence.room));
      turn->sequence.result.sampled_logprobs.reserve(static_cast<size_t>(turn->sequence.room));
      turn->sequence.result.model_logprobs.reserve(static_cast<size_t>(turn->sequence.room));
      turn->active = true;
      ++turns_active_;
      active_.push_back(turn->id);
    }
    waiting_.pop_front();
  }
}

// The rows of the next step: first one for each turn that has a token to read, which always fit, then prompts.
void Engine::Plan() {
  for (auto& [version, batch] : batches_) {
    batch.rows.clear();
    batch.planned.clear();
  }
  int64_t budget = options_.max_batch;
  for (size_t i = 0; i < active_.size(); ++i) {
    Turn& turn = *Find(active_[i]);
    if (turn.active && turn.sequence.unread() == 1 && HaveRoomToDecode(turn)) budget -= PlanRows(turn, budget);
  }
  while (true) {
    for (size_t i = 0; i < active_.size() && budget > 0; ++i) {
      Turn& turn = *Find(active_[i]);
      if (turn.active && turn.sequence.unread() > 1) budget -= PlanRows(turn, budget);
    }
    if (budget < options_.max_batch) return;
    // All wait for pages, which prompts that are half read in hold.
    auto last = std::find_if(active_.rbegin(), active_.rend(), [this](RequestId id) { return Find(id)->active; });
    TANDEM_CHECK(last != active_.rend() && turns_active_ > 1);
    Preempt(*Find(*last));
  }
}

// Room for the row of a turn that decodes: those admitted after it give theirs back if they have to, and at last
// itself. None of them has been planned yet.
bool Engine::HaveRoomToDecode(Turn& turn) {
  if (turn.sequence.page_room() > 0) return true;
  while (!turn.sequence.TakePage(pages_)) {
    auto last = std::find_if(active_.rbegin(), active_.rend(), [this](RequestId id) { return Find(id)->active; });
    const bool itself = *last == turn.id;
    Preempt(*Find(*last));
    if (itself) return false;
  }
  return true;
}

// Of one version in one step. Returns the number of rows.
int32_t Engine::PlanRows(Turn& turn, int64_t budget) {
  if (!turn.began && !Begin(turn)) return 0;
  Sequence& sequence = turn.sequence;
  const VersionId version = sequence.Reader(version_);
  const int32_t end = std::min(sequence.known(), sequence.reader_end());
  const auto wanted = static_cast<int32_t>(std::min<int64_t>(end - sequence.read(), budget));
  while (sequence.page_room() < wanted && sequence.TakePage(pages_)) {
  }
  const int32_t count = std::min(wanted, sequence.page_room());
  if (count == 0) return 0;
  Batch& batch = batches_[version];
  const GenerateRequest& request = sequence.request;
  const int32_t first = sequence.read();
  for (int32_t position = first; position < first + count; ++position) {
    batch.rows.push_back({sequence.Token(position), position, sequence.pages().data(), position + 1 == sequence.known(),
                          request.temperature, request.random_key, request.filter});
  }
  batch.planned.push_back({turn.id, count, first + count == sequence.known()});
  return count;
}

// A turn that begins takes what others have read in. False: another turn reads in the same prompt just now, wait for
// it.
bool Engine::Begin(Turn& turn) {
  Sequence& sequence = turn.sequence;
  const VersionId version = sequence.Reader(version_);
  sequence.TakePrefix(pages_, version_, [this](int32_t from, int32_t to) { decoder_->CopyPage(from, to); });
  turn.began = sequence.unread() == 1;
  if (turn.began) return true;
  const uint64_t key = absl::HashOf(sequence.request.prompt, version);
  RequestId& reader = being_read_[key];
  const Turn* other = Find(reader);
  if (other != nullptr && other != &turn && other->active && other->reading_key == key) return false;
  reader = turn.id;
  turn.reading_key = key;
  turn.began = true;
  return true;
}

// Takes the turn's pages away. It waits as the first of all, and what it had is read in again.
void Engine::Preempt(Turn& turn) {
  ++preemptions_;
  Restart(turn);
  turn.active = false;
  --turns_active_;
  waiting_.push_front(turn.id);
}

// What the turn has is read in again, from the next step on.
void Engine::Restart(Turn& turn) {
  turn.sequence.Restart(pages_);
  StopReading(turn);
  turn.began = false;
}

// Nobody needs to wait for this turn's prompt any more.
void Engine::StopReading(Turn& turn) {
  if (turn.reading_key == 0) return;
  const auto found = being_read_.find(turn.reading_key);
  if (found != being_read_.end() && found->second == turn.id) being_read_.erase(found);
  turn.reading_key = 0;
}

int64_t Engine::RunBatches() {
  int64_t samples = 0;
  for (auto& [version, batch] : batches_) {
    batch.sampled.resize(std::ranges::count_if(batch.planned, [](const Planned& planned) { return planned.samples; }));
    if (batch.rows.empty()) continue;
    decoder_->Use(sets_.at(version).set);
    decoder_->Run(batch.rows, batch.sampled);
    rows_run_ += batch.rows.size();
    samples += static_cast<int64_t>(batch.sampled.size());
    for (const Planned& planned : batch.planned) {
      Turn& turn = *Find(planned.id);
      turn.sequence.Advance(planned.rows, version, pages_);
      if (turn.sequence.read() + 1 >= turn.sequence.prompt_size()) StopReading(turn);
    }
  }
  tokens_generated_ += samples;
  // Callbacks come last, since they may cancel any turn and submit others.
  for (const auto& [version, batch] : batches_) {
    size_t next = 0;
    for (const Planned& planned : batch.planned) {
      if (planned.samples) Deliver(planned.id, batch.sampled[next++], version);
    }
  }
  return samples;
}

void Engine::Deliver(RequestId id, const SampledToken& token, VersionId version) {
  Turn* turn = Find(id);
  if (turn == nullptr) return;  // cancelled by the callback of another turn
  GenerateResult& result = turn->sequence.result;
  result.output.push_back(token.token);
  result.sampled_logprobs.push_back(token.sampled_logprob);
  result.model_logprobs.push_back(token.model_logprob);
  AddToRuns(result.version_runs, version, 1);
  const bool stopped = turn->sequence.request.Stops(token.token);
  const bool full = static_cast<int32_t>(result.output.size()) >= turn->sequence.room;
  if (turn->on_token) {
    // Held here while it runs: it may cancel its own turn, whose place another turn may take at once.
    OnToken on_token = std::move(turn->on_token);
    on_token(token.token);
    turn = Find(id);
    if (turn == nullptr) return;
    turn->on_token = std::move(on_token);
  }
  if (stopped || full) return Finish(*turn, stopped ? proto::STOP : proto::LENGTH);
  if (turn->sequence.restart_is_due()) Restart(*turn);
}

// Frees the turn's place and pages, then tells its owner.
void Engine::Finish(Turn& turn, proto::FinishReason reason) {
  turn.sequence.result.finish = reason;
  GenerateResult result = std::move(turn.sequence.result);
  const OnDone on_done = std::move(turn.on_done);
  const GenerateRequest& request = turn.sequence.request;
  request.EachNamed([this](VersionId version) { --sets_.at(version).turns; });
  with_deadline_ -= std::isfinite(request.deadline_s);
  turn.sequence.ReleasePages(pages_);
  StopReading(turn);
  turns_active_ -= turn.active;
  free_places_.push_back(static_cast<uint32_t>(turn.id & ((uint64_t{1} << kPlaceBits) - 1)));
  turn.id = 0;
  turn.on_done = nullptr;
  turn.on_token = nullptr;
  --live_;
  if (on_done) on_done(std::move(result));
}

}  // namespace tandem
