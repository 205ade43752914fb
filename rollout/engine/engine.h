// Generates tokens for turns and knows nothing of tasks: continuous batching over all live turns of one policy.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "rollout/engine/decoder.h"
#include "rollout/engine/prefix_pages.h"
#include "rollout/engine/request.h"
#include "rollout/engine/sequence.h"

namespace tandem {

// What becomes of live turns' caches when new weights come. (Turns that name their versions are read in by those.)
enum class KeyValues {
  kKeep,       // they stay: a turn's record says which version read in which row
  kRecompute,  // they are dropped, and all is read in anew by the new weights
};

struct EngineOptions {
  // Rows (tokens read in) that go through the model at once; as many turns at most are decoded at the same time, the
  // others wait in their order. The speed of a CPU is best when the live turns' caches fit its second-level cache: 32
  // to 64.
  int64_t max_batch = 32;
  KeyValues on_swap = KeyValues::kKeep;
  const Clock* clock = nullptr;  // of deadlines; null: there are none
  // Numbers of new weights that InstallOverSteps packs before a step, which takes less time than a step of a few rows;
  // of large models a 32nd of them all.
  int64_t install_part = 1 << 16;
};

// Not thread-safe. A turn's tokens and log-probabilities depend on its request and on the versions (of tokens and
// cache) that wrote it, bit for bit, and on nothing else in the batch. The decoder's pages are all the memory that it
// has for caches, at least as much as one turn of the whole context takes: when they run out, the turn that was
// admitted last gives its own back, waits, and reads in anew what it had.
class Engine {
 public:
  using OnToken = std::function<void(int32_t)>;  // may be empty
  using OnDone = std::function<void(GenerateResult)>;
  using RequestId = uint64_t;

  Engine(std::unique_ptr<Decoder> decoder, const EngineOptions& options);
  ~Engine();  // turns still live are dropped without a callback
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Queues a turn. The callbacks run inside Step() (of a turn cancelled: OnDone within Cancel), and may call Submit and
  // Cancel themselves, but not Step or Install. Output is cut where the context ends. kInvalidArgument: see
  // CheckRequest. kFailedPrecondition: it names a version that is not here.
  absl::StatusOr<RequestId> Submit(GenerateRequest request, OnToken on_token, OnDone on_done);
  // Ends the turn with what it has, as CANCELLED. Nothing happens for a turn that has ended.
  void Cancel(RequestId id);
  // What a turn has so far, its newest token included, for its OnToken; null once it has ended.
  const GenerateResult* ResultSoFar(RequestId id) {
    const Turn* turn = Find(id);
    return turn == nullptr ? nullptr : &turn->sequence.result;
  }

  // Weights of `version` (flat, float32, ParameterLayout's order), in force from the next Step() on.
  // kFailedPrecondition for a version that is older than the installed one: versions never go back; the installed one
  // again: nothing happens. kInvalidArgument: not the model's number of weights.
  absl::Status Install(VersionId version, std::span<const float> weights);

  // The same without a pause: the weights are packed in parts, one before each of the next steps, and are in force when
  // they are whole, at once where no turn is live. The caller keeps them where they are until installing() is false.
  // Those that were still on their way come into force first. Errors as for Install; what goes wrong later is in
  // install_status().
  absl::Status InstallOverSteps(VersionId version, std::span<const float> weights);
  bool installing() const { return incoming_.has_value(); }
  const absl::Status& install_status() const { return install_status_; }

  // The first Install takes the memory of two versions, so that the first update does not wait for it.
  void ExpectUpdates() { expects_updates_ = true; }

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
  uint64_t rows_run() const { return rows_run_; }                  // tokens read in; without prefixes that were shared
  uint64_t preemptions() const { return preemptions_; }            // turns that gave their pages back for others
  int64_t pages_held() const { return pages_.held(); }             // by live turns

 private:
  // A turn in work. Turns live in a pool; an id names place and serial number, so that the id of a turn that ended
  // finds nothing.
  struct Turn {
    RequestId id = 0;  // 0: the place is free
    Sequence sequence;
    OnToken on_token;
    OnDone on_done;
    bool active = false;
    bool began = false;        // has looked for a prefix
    uint64_t reading_key = 0;  // under which it stands in being_read_
  };
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

  // A version that is on its way: its weights, and how many parts of them are packed.
  struct Incoming {
    VersionId version;
    std::span<const float> weights;
    int32_t set;
    int64_t parts, packed = 0;
  };

  absl::Status CheckNew(VersionId version, size_t weights) const;
  int32_t TakeSet();
  void PackIncoming(int64_t parts = INT64_MAX);
  void PutInForce(VersionId version, int32_t set);
  Turn* Find(RequestId id);
  void EndOverdue();
  void Admit();
  void Plan();
  bool HaveRoomToDecode(Turn& turn);
  int32_t PlanRows(Turn& turn, int64_t budget);
  bool Begin(Turn& turn);
  void Preempt(Turn& turn);
  void Restart(Turn& turn);
  void StopReading(Turn& turn);
  int64_t RunBatches();
  void Deliver(RequestId id, const SampledToken& token, VersionId version);
  void DropOldVersions();
  void Finish(Turn& turn, proto::FinishReason reason);

  const std::unique_ptr<Decoder> decoder_;
  const EngineOptions options_;
  bool has_weights_ = false;
  bool expects_updates_ = false;
  VersionId version_;  // the newest
  uint32_t keep_ = 0;
  std::map<VersionId, WeightSet> sets_;
  std::vector<int32_t> free_sets_ = {0};
  int32_t sets_made_ = 1;
  std::optional<Incoming> incoming_;
  absl::Status install_status_;

  std::vector<std::unique_ptr<Turn>> pool_;
  std::vector<uint32_t> free_places_;
  uint64_t next_serial_ = 1;
  std::deque<RequestId> waiting_;
  std::vector<RequestId> active_;  // that may hold pages, in order of admission; some may have ended
  int64_t turns_active_ = 0;
  size_t live_ = 0;
  size_t with_deadline_ = 0;
  PrefixPages pages_;
  absl::flat_hash_map<uint64_t, RequestId> being_read_;  // prompts that others wait for, by hash of prompt and version

  std::map<VersionId, Batch> batches_;  // of the step in work
  bool stepping_ = false;

  uint64_t tokens_generated_ = 0;
  uint64_t rows_run_ = 0;
  uint64_t preemptions_ = 0;
};

}  // namespace tandem
