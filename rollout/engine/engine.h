// Generates tokens for turns and knows nothing of tasks: continuous batching over all live turns of one policy.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "policy/model_config.h"
#include "proto/message.pb.h"
#include "rollout/engine/decoder.h"
#include "rollout/engine/prompt_cache.h"

namespace tandem {

struct VersionId {
  uint32_t incarnation = 0;
  uint32_t number = 0;
  auto operator<=>(const VersionId&) const = default;
};

struct VersionCount {
  VersionId version;
  uint32_t count;
};

struct GenerateRequest {
  std::vector<int32_t> prompt;  // at least one id
  float temperature = 1;        // 0 is greedy
  int32_t max_new_tokens = 1;
  int32_t stop_id = -1;     // ends the turn, and is its last token
  uint64_t random_key = 0;  // of (seed, episode, role, node); the token's position is the counter
};

struct GenerateResult {
  std::vector<int32_t> output;
  std::vector<float> sampled_logprobs;     // of the distribution sampled from (greedy: 0)
  std::vector<float> model_logprobs;       // of the model at temperature 1
  std::vector<VersionCount> version_runs;  // over output
  std::vector<VersionCount> cache_runs;    // over prompt and output but the last token
  proto::FinishReason finish = proto::FINISH_UNKNOWN;
};

// Not thread-safe. A turn's tokens and log-probabilities depend on its request and on the versions (of tokens and
// cache) that wrote it, bit for bit, and on nothing else in the batch.
class Engine {
 public:
  using OnToken = std::function<void(int32_t)>;  // may be empty
  using OnDone = std::function<void(GenerateResult)>;
  using RequestId = uint64_t;

  // At most `max_batch` rows (tokens read in) go through the model at once, and min(max_batch, decoder->slots()) turns
  // are decoded at the same time; the others wait in their order. Slots beyond max_batch keep the caches of prompts for
  // turns that ask the same. The speed of a CPU is best when the live turns' caches fit its second-level cache: 32
  // to 64.
  Engine(std::unique_ptr<Decoder> decoder, int64_t max_batch);
  ~Engine();  // turns still live are dropped without a callback
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Queues a turn. The callbacks run inside Step() (of a turn cancelled: OnDone within Cancel), and may call Submit and
  // Cancel themselves, but not Step or Install. A prompt that does not fit the context with one token of output, or
  // that holds ids outside of the vocabulary, is kInvalidArgument; output is cut where the context ends.
  absl::StatusOr<RequestId> Submit(GenerateRequest request, OnToken on_token, OnDone on_done);
  // Ends the turn with what it has, as CANCELLED. Nothing happens for a turn that has ended.
  void Cancel(RequestId id);

  // Weights of `version` (flat, float32, ParameterLayout's order), in force from the next Step() on; the caches of live
  // turns are kept. kFailedPrecondition for a version that is older than the installed one: versions never go back; the
  // installed one again: nothing happens. kInvalidArgument: not the model's number of weights.
  absl::Status Install(VersionId version, std::span<const float> weights);

  // One decode step over the live turns (prompts are read in as they fit). Returns the number of tokens generated; 0
  // when there is nothing to do: a long prompt is read in until a token comes. Nothing runs before the first Install.
  int64_t Step();

  bool has_weights() const { return has_weights_; }
  VersionId version() const { return version_; }
  size_t live() const { return live_; }                            // turns queued or being decoded
  uint64_t tokens_generated() const { return tokens_generated_; }  // since the start
  uint64_t rows_run() const { return rows_run_; }                  // tokens read in; without prompts that were copied

 private:
  struct Sequence;
  // A turn's rows within the batch in work.
  struct Planned {
    RequestId id;
    int32_t rows;
    bool samples;
  };

  Sequence* Find(RequestId id);
  void Admit();
  void Plan();
  int64_t PlanRows(Sequence& sequence, int64_t budget);
  bool TakePromptFromCache(Sequence& sequence);
  int64_t RunBatch();
  void Account(const Planned& planned, VersionId version);
  void Deliver(RequestId id, const SampledToken& token, VersionId version);
  void Finish(Sequence& sequence, proto::FinishReason reason);

  const std::unique_ptr<Decoder> decoder_;
  const int64_t max_batch_;
  bool has_weights_ = false;
  VersionId version_;

  // Sequences live in a pool; an id names place and serial number, so that the id of a turn that ended finds nothing.
  std::vector<std::unique_ptr<Sequence>> pool_;
  std::vector<uint32_t> free_places_;
  uint64_t next_serial_ = 1;
  std::deque<RequestId> waiting_;
  std::vector<RequestId> active_;   // those with a slot, in order of admission
  std::deque<int32_t> free_slots_;  // the longest free first: the others' prompts may be asked for again
  int64_t turns_with_slot_ = 0;
  size_t live_ = 0;
  PromptCache prompts_;
  bool decoder_copies_ = true;  // until it says that it does not

  // The batch in work.
  std::vector<DecodeRow> rows_;
  std::vector<Planned> planned_;
  std::vector<SampledToken> sampled_;
  bool stepping_ = false;

  uint64_t tokens_generated_ = 0;
  uint64_t rows_run_ = 0;
};

}  // namespace tandem
