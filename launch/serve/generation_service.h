// An engine on a thread of its own, for clients on other threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "launch/serve/completion_request.h"
#include "policy/tokenizer/tokenizer.h"
#include "rollout/engine/engine.h"

namespace tandem {

// What has come of one choice since it was last asked. All pieces of a choice, one after the other, are the choice.
struct GenerationPiece {
  size_t choice = 0;
  std::string text;
  std::vector<int32_t> ids;
  std::vector<float> model_logprobs, sampled_logprobs;  // [ids]
  VersionRuns versions;                                 // over ids
  std::string finish;       // the last piece's: "stop", "length", or "timeout" when its deadline came; before that ""
  std::string stop_string;  // that it ended before, if any

  bool empty() const { return ids.empty() && text.empty() && finish.empty(); }
  void Append(const GenerationPiece& next);
};

struct GenerationJob;

// A request under way. For one thread; dropping it cancels what is not done. The service outlives it.
class Generation {
 public:
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Waits for news of any choice, timeout_s at most, and takes them: at most one piece of each choice. None: nothing
  // came in time, or all choices have ended. kUnavailable: the service has stopped; kDataLoss: the model's
  // log-probabilities are not numbers.
  absl::StatusOr<std::vector<GenerationPiece>> Next(double timeout_s);

 private:
  friend class GenerationService;
  Generation(class GenerationService* service, std::shared_ptr<GenerationJob> job)
      : service_(service), job_(std::move(job)) {}
  class GenerationService* const service_;
  const std::shared_ptr<GenerationJob> job_;
};

struct ServiceCounts {
  uint64_t requests = 0, choices = 0, cancelled = 0;  // since the start
  uint64_t tokens = 0, preemptions = 0;
  size_t live = 0;  // choices queued or being decoded
  int64_t pages_held = 0;
  VersionId version;
};

// Thread-safe. The thread sleeps while there is nothing to generate.
class GenerationService {
 public:
  // `engine` has weights and takes its deadlines from `clock`; `tokenizer` and `clock` outlive the service.
  GenerationService(std::unique_ptr<Engine> engine, const Tokenizer& tokenizer, const Clock& clock);
  ~GenerationService();  // stops

  std::unique_ptr<Generation> Begin(const CompletionRequest& request);

  // Puts new weights in force between two decode steps, as the next version, and returns it when they are.
  // kInvalidArgument: not the model's number of weights. kUnavailable: the service has stopped.
  absl::StatusOr<VersionId> Install(std::span<const float> weights);

  ServiceCounts Counts() const;

  // Nothing is generated any more: whoever waits is told so. Returns when all Generations are gone, timeout_s later at
  // the latest.
  void Stop(double timeout_s = 0);

 private:
  friend class Generation;
  using Task = std::function<void()>;  // for the engine's thread
  void Run();
  bool Post(Task task);  // false: the service has stopped
  void Submit(const std::shared_ptr<GenerationJob>& job, size_t choice, GenerateRequest request,
              const StopStrings& stops);
  void Cancel(const std::shared_ptr<GenerationJob>& job);

  const std::unique_ptr<Engine> engine_;  // of the thread
  const Tokenizer& tokenizer_;
  const Clock& clock_;
  std::vector<std::weak_ptr<GenerationJob>> jobs_;  // of the thread: to tell them of the end
  mutable absl::Mutex mutex_;
  std::vector<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  ServiceCounts counts_ ABSL_GUARDED_BY(mutex_);
  size_t generations_ ABSL_GUARDED_BY(mutex_) = 0;  // that are there
  uint64_t next_seed_ ABSL_GUARDED_BY(mutex_);      // of requests that name none
  std::thread thread_;                              // last: it uses all the others
};

}  // namespace tandem
