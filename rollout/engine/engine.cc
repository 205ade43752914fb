#include "rollout/engine/engine.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

constexpr int kPlaceBits = 24;

std::string Name(VersionId version) { return absl::StrCat("version ", version.incarnation, ".", version.number); }

void AddToRuns(std::vector<VersionCount>& runs, VersionId version, uint32_t count) {
  if (runs.empty() || runs.back().version != version) {
    runs.push_back({version, count});
  } else {
    runs.back().count += count;
  }
}

absl::Status CheckRequest(const GenerateRequest& request, const ModelConfig& model) {
  const auto size = static_cast<int64_t>(request.prompt.size());
  if (size < 1 || size >= model.context) {
    return absl::InvalidArgumentError(absl::StrCat("prompt of ", size, " tokens: 1 to ", model.context - 1,
                                                   " fit a context of ", model.context, " with a token of output"));
  }
  for (int32_t id : request.prompt) {
    if (id < 0 || id >= model.vocabulary) {
      return absl::InvalidArgumentError(
          absl::StrCat("prompt holds id ", id, ", the vocabulary 0 to ", model.vocabulary - 1));
    }
  }
  if (request.max_new_tokens < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_new_tokens is ", request.max_new_tokens, ", at least 1 expected"));
  }
  if (!(request.temperature >= 0) || !std::isfinite(request.temperature)) {
    return absl::InvalidArgumentError(absl::StrCat("temperature is ", request.temperature, ", 0 or more expected"));
  }
  const kernels::SamplingFilter& filter = request.filter;
  if (filter.top_k < 0 || !(filter.top_p >= 0 && filter.top_p <= 1) || !(filter.min_p >= 0 && filter.min_p <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("top_k is ", filter.top_k, ", top_p ", filter.top_p, ", min_p ",
                                                   filter.min_p, "; 0 or more, and 0 to 1 expected"));
  }
  return absl::OkStatus();
}

}  // namespace

struct Engine::Sequence {
  RequestId id = 0;  // 0: the place is free
  int32_t slot = -1;
  int32_t read = 0;  // tokens in the cache
  int32_t room = 0;  // most tokens of output
  GenerateRequest request;
  GenerateResult result;
  OnToken on_token;
  OnDone on_done;
  size_t reader = 0;             // of request.readers: who reads in row `read`
  int32_t reader_end = INT_MAX;  // the first row that the next one reads in
  VersionId prompt_version;      // that began to read the prompt in

  int32_t prompt_size() const { return static_cast<int32_t>(request.prompt.size()); }
  VersionId ReaderOr(VersionId newest) const {
    return request.readers.empty() ? newest : request.readers[reader].version;
  }
  // Moves on to row `read`.
  void FindReader() {
    while (read >= reader_end) {
      ++reader;
      const bool last = reader + 1 == request.readers.size();
      reader_end = last ? INT_MAX : reader_end + static_cast<int32_t>(request.readers[reader].count);
    }
  }
  int32_t Token(int32_t position) const {
    return position < prompt_size() ? request.prompt[position] : result.output[position - prompt_size()];
  }
};

Engine::Engine(std::unique_ptr<Decoder> decoder, int64_t max_batch)
    : decoder_(std::move(decoder)), max_batch_(max_batch), prompts_(decoder_->slots()) {
  TANDEM_CHECK(max_batch_ > 0 && decoder_->slots() > 0);
  for (int32_t slot = 0; slot < decoder_->slots(); ++slot) free_slots_.push_back(slot);
}

Engine::~Engine() = default;

absl::StatusOr<Engine::RequestId> Engine::Submit(GenerateRequest request, OnToken on_token, OnDone on_done) {
  TANDEM_RETURN_IF_ERROR(CheckRequest(request, decoder_->config()));
  for (const VersionCount& reader : request.readers) {
    if (!Holds(reader.version))
      return absl::FailedPreconditionError(absl::StrCat(Name(reader.version), " is not here"));
  }
  if (free_places_.empty()) {
    TANDEM_CHECK(pool_.size() < (1u << kPlaceBits));
    free_places_.push_back(static_cast<uint32_t>(pool_.size()));
    pool_.push_back(std::make_unique<Sequence>());
  }
  const uint32_t place = free_places_.back();
  free_places_.pop_back();
  Sequence& sequence = *pool_[place];
  sequence.id = next_serial_++ << kPlaceBits | place;
  sequence.slot = -1;
  sequence.read = 0;
  sequence.request = std::move(request);
  sequence.room = static_cast<int32_t>(
      std::min<int64_t>(sequence.request.max_new_tokens, decoder_->config().context - sequence.prompt_size()));
  for (const VersionCount& reader : sequence.request.readers) ++sets_.at(reader.version).turns;
  sequence.reader = 0;
  const Readers& readers = sequence.request.readers;
  sequence.reader_end = readers.size() > 1 ? static_cast<int32_t>(readers[0].count) : INT_MAX;
  sequence.FindReader();
  sequence.result = {};
  sequence.on_token = std::move(on_token);
  sequence.on_done = std::move(on_done);
  waiting_.push_back(sequence.id);
  ++live_;
  return sequence.id;
}

void Engine::Cancel(RequestId id) {
  if (Sequence* sequence = Find(id)) Finish(*sequence, proto::CANCELLED);
}

absl::Status Engine::Install(VersionId version, std::span<const float> weights) {
  TANDEM_CHECK(!stepping_);
  if (has_weights_ && version < version_) {
    return absl::FailedPreconditionError(absl::StrCat(Name(version), " is older than the installed ", Name(version_)));
  }
  if (has_weights_ && version == version_) return absl::OkStatus();
  const int64_t expected = ParameterCount(decoder_->config());
  if (static_cast<int64_t>(weights.size()) != expected) {
    return absl::InvalidArgumentError(absl::StrCat(weights.size(), " weights; the model has ", expected));
  }
  has_weights_ = true;
  version_ = version;
  DropOldVersions();
  if (free_sets_.empty()) free_sets_.push_back(sets_made_++);
  decoder_->Use(free_sets_.back());
  TANDEM_RETURN_IF_ERROR(decoder_->Load(weights));
  sets_[version] = {free_sets_.back()};
  free_sets_.pop_back();
  return absl::OkStatus();
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
  stepping_ = true;
  int64_t generated = 0;
  while (generated == 0 && live_ > 0) {
    Admit();
    Plan();
    generated = RunBatches();
  }
  stepping_ = false;
  return generated;
}

Engine::Sequence* Engine::Find(RequestId id) {
  const uint64_t place = id & ((uint64_t{1} << kPlaceBits) - 1);
  return id != 0 && place < pool_.size() && pool_[place]->id == id ? pool_[place].get() : nullptr;
}

// Gives slots to waiting turns.
void Engine::Admit() {
  std::erase_if(active_, [this](RequestId id) { return Find(id) == nullptr; });
  const int64_t most = std::min(max_batch_, decoder_->slots());
  while (!waiting_.empty() && turns_with_slot_ < most) {
    Sequence* sequence = Find(waiting_.front());
    waiting_.pop_front();
    if (sequence == nullptr) continue;
    sequence->slot = free_slots_.front();
    free_slots_.pop_front();
    prompts_.Forget(sequence->slot);
    sequence->result.output.reserve(sequence->room);
    sequence->result.sampled_logprobs.reserve(sequence->room);
    sequence->result.model_logprobs.reserve(sequence->room);
    ++turns_with_slot_;
    active_.push_back(sequence->id);
  }
}

// The rows of the next step: first one for each turn that is past its prompt, which always fit, then prompts.
void Engine::Plan() {
  for (auto& [version, batch] : batches_) {
    batch.rows.clear();
    batch.planned.clear();
  }
  int64_t budget = max_batch_;
  for (const bool prompts : {false, true}) {
    for (RequestId id : active_) {
      Sequence& sequence = *Find(id);
      if ((sequence.read < sequence.prompt_size()) == prompts && budget > 0) budget -= PlanRows(sequence, budget);
    }
  }
}

// Of one version in one step.
int64_t Engine::PlanRows(Sequence& sequence, int64_t budget) {
  if (sequence.read == 0 && !TakePromptFromCache(sequence)) return 0;
  sequence.FindReader();
  const VersionId version = sequence.ReaderOr(version_);
  const auto known = sequence.prompt_size() + static_cast<int32_t>(sequence.result.output.size());
  const int32_t end = std::min(known, sequence.reader_end);
  const auto count = static_cast<int32_t>(std::min<int64_t>(end - sequence.read, budget));
  Batch& batch = batches_[version];
  for (int32_t position = sequence.read; position < sequence.read + count; ++position) {
    batch.rows.push_back({sequence.Token(position), sequence.slot, position, position + 1 == known,
                          sequence.request.temperature, sequence.request.random_key, sequence.request.filter});
  }
  batch.planned.push_back({sequence.id, count, sequence.read + count == known});
  return count;
}

// A turn that begins: copies its prompt's cache from another slot if there is one of that version. False: another turn
// is reading that prompt in just now, wait for it.
bool Engine::TakePromptFromCache(Sequence& sequence) {
  const VersionId version = sequence.ReaderOr(version_);
  const int32_t positions = sequence.prompt_size() - 1;
  if (positions == 0 || positions > sequence.reader_end || !decoder_copies_) return true;
  const uint64_t hash = PromptHash(sequence.request.prompt, version.incarnation, version.number);
  const PromptCache::Found found = prompts_.Find(sequence.request.prompt, hash);
  switch (found.state) {
    case PromptCache::State::kBeingRead:
      return false;
    case PromptCache::State::kReady:
      decoder_copies_ = decoder_->CopyCache(found.slot, sequence.slot, positions);
      if (decoder_copies_) {
        sequence.read = positions;
        AddToRuns(sequence.result.cache_runs, version, positions);
      }
      return true;
    case PromptCache::State::kUnknown:
      prompts_.Begin(sequence.request.prompt, hash, sequence.slot);
      sequence.prompt_version = version;
      return true;
  }
  return true;
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
    for (const Planned& planned : batch.planned) Account(planned, version);
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

void Engine::Account(const Planned& planned, VersionId version) {
  Sequence& sequence = *Find(planned.id);
  const bool reading = sequence.read < sequence.prompt_size();
  sequence.read += planned.rows;
  AddToRuns(sequence.result.cache_runs, version, planned.rows);
  if (!reading) return;
  if (version != sequence.prompt_version) {
    prompts_.Forget(sequence.slot);  // two versions read it in: not to be copied
  } else if (sequence.read + 1 >= sequence.prompt_size()) {
    prompts_.Complete(sequence.slot);
  }
}

void Engine::Deliver(RequestId id, const SampledToken& token, VersionId version) {
  Sequence* sequence = Find(id);
  if (sequence == nullptr) return;  // cancelled by the callback of another turn
  GenerateResult& result = sequence->result;
  result.output.push_back(token.token);
  result.sampled_logprobs.push_back(token.sampled_logprob);
  result.model_logprobs.push_back(token.model_logprob);
  AddToRuns(result.version_runs, version, 1);
  const bool stopped = sequence->request.Stops(token.token);
  const bool full = static_cast<int32_t>(result.output.size()) >= sequence->room;
  if (sequence->on_token) {
    // Held here while it runs: it may cancel its own turn, whose place another turn may take at once.
    OnToken on_token = std::move(sequence->on_token);
    on_token(token.token);
    if (sequence->id != id) return;
    sequence->on_token = std::move(on_token);
  }
  if (stopped || full) Finish(*sequence, stopped ? proto::STOP : proto::LENGTH);
}

// Frees the turn's place and slot, then tells its owner.
void Engine::Finish(Sequence& sequence, proto::FinishReason reason) {
  sequence.result.finish = reason;
  GenerateResult result = std::move(sequence.result);
  const OnDone on_done = std::move(sequence.on_done);
  for (const VersionCount& reader : sequence.request.readers) --sets_.at(reader.version).turns;
  sequence.on_done = nullptr;
  sequence.on_token = nullptr;
  if (sequence.slot >= 0) {
    if (sequence.read + 1 < sequence.prompt_size()) prompts_.Forget(sequence.slot);  // cancelled while reading it in
    free_slots_.push_back(sequence.slot);
    --turns_with_slot_;
  }
  free_places_.push_back(static_cast<uint32_t>(sequence.id & ((uint64_t{1} << kPlaceBits) - 1)));
  sequence.id = 0;
  --live_;
  if (on_done) on_done(std::move(result));
}

}  // namespace tandem
