// Generates tokens for turns and knows nothing of tasks: continuous batching over all live turns of one policy.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/sampling_filter.h"
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

// Rows that a version reads in; the last of several goes on without end.
using Readers = std::vector<VersionCount>;

struct GenerateRequest {
  std::vector<int32_t> prompt;  // at least one id
  float temperature = 1;        // 0 is greedy
  kernels::SamplingFilter filter = {};
  int32_t max_new_tokens = 1;
  std::vector<int32_t> stop_ids = {};  // each ends the turn, and is its last token
  uint64_t random_key = 0;             // of (seed, episode, role, node); the token's position is the counter
  // Which versions read in the rows of prompt and output; a row's version writes the token after it. Empty: whichever
  // is the newest then.
  Readers readers = {};

  bool Stops(int32_t id) const { return std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end(); }
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
  // kFailedPrecondition: it names a version that is not here.
  absl::StatusOr<RequestId> Submit(GenerateRequest request, OnToken on_token, OnDone on_done);
  // Ends the turn with what it has, as CANCELLED. Nothing happens for a turn that has ended.
  void Cancel(RequestId id);

  // Weights of `version` (flat, float32, ParameterLayout's order), in force from the next Step() on; the caches of live
  // turns are kept. kFailedPrecondition for a version that is older than the installed one: versions never go back; the
  // installed one again: nothing happens. kInvalidArgument: not the model's number of weights.
  absl::Status Install(VersionId version, std::span<const float> weights);

  // From the next Install on, keeps so many versions behind the newest for turns that name them (at first 0). A version
  // that a live turn names is kept in any case.
  void Keep(uint32_t behind) { keep_ = behind; }
  uint32_t keeps() const { return keep_; }
  bool Holds(VersionId version) const { return sets_.contains(version); }

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
  // A turn's rows within a batch.
  struct Planned {
    RequestId id;
    int32_t rows;
    bool samples;
  };
  // What one version reads in, in one step.
  struct Batch {
    std::vector<DecodeRow> rows;
    std::vector<Planned> planned;
    std::vector<SampledToken> sampled;
  };
  // Where the decoder has a version's weights.
  struct WeightSet {
    int32_t set;
    uint32_t turns = 0;  // live ones that name it
  };

  Sequence* Find(RequestId id);
  void Admit();
  void Plan();
  int64_t PlanRows(Sequence& sequence, int64_t budget);
  bool TakePromptFromCache(Sequence& sequence);
  int64_t RunBatches();
  void Account(const Planned& planned, VersionId version);
  void Deliver(RequestId id, const SampledToken& token, VersionId version);
  void DropOldVersions();
  void Finish(Sequence& sequence, proto::FinishReason reason);

  const std::unique_ptr<Decoder> decoder_;
  const int64_t max_batch_;
  bool has_weights_ = false;
  VersionId version_;  // the newest
  uint32_t keep_ = 0;
  std::map<VersionId, WeightSet> sets_;
  std::vector<int32_t> free_sets_ = {0};
  int32_t sets_made_ = 1;

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

  std::map<VersionId, Batch> batches_;  // of the step in work
  bool stepping_ = false;

  uint64_t tokens_generated_ = 0;
  uint64_t rows_run_ = 0;
};

}  // namespace tandem
