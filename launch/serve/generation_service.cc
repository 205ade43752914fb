#include "launch/serve/generation_service.h"

#include <cmath>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/random.h"
#include "base/status.h"
#include "launch/language_model.h"
#include "policy/tokenizer/text_stream.h"

namespace tandem {

// What the engine's thread writes and the client's reads.
struct GenerationJob {
  explicit GenerationJob(size_t choices) : news(choices), ids(choices) {}

  absl::Mutex mutex;
  std::vector<GenerationPiece> news ABSL_GUARDED_BY(mutex);  // [choices]
  bool has_news ABSL_GUARDED_BY(mutex) = false;
  absl::Status failure ABSL_GUARDED_BY(mutex);
  size_t left ABSL_GUARDED_BY(mutex) = news.size();  // choices that have not ended

  std::vector<Engine::RequestId> ids;  // [choices] of the engine's thread

  void Fail(const absl::Status& status) {
    const absl::MutexLock lock(&mutex);
    if (left > 0) failure.Update(status);
  }
  bool Changed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) { return has_news || !failure.ok() || left == 0; }
};

void GenerationPiece::Append(const GenerationPiece& next) {
  choice = next.choice;
  text += next.text;
  ids.insert(ids.end(), next.ids.begin(), next.ids.end());
  model_logprobs.insert(model_logprobs.end(), next.model_logprobs.begin(), next.model_logprobs.end());
  sampled_logprobs.insert(sampled_logprobs.end(), next.sampled_logprobs.begin(), next.sampled_logprobs.end());
  for (const VersionCount& run : next.versions) AddToRuns(versions, run.version, run.count);
  finish += next.finish;
  stop_string += next.stop_string;
}

Generation::~Generation() {
  service_->Cancel(job_);
  const absl::MutexLock lock(&service_->mutex_);
  --service_->generations_;
}

absl::StatusOr<std::vector<GenerationPiece>> Generation::Next(double timeout_s) {
  GenerationJob& job = *job_;
  const absl::MutexLock lock(&job.mutex);
  job.mutex.AwaitWithTimeout(absl::Condition(&job, &GenerationJob::Changed), absl::Seconds(timeout_s));
  if (!job.failure.ok()) return job.failure;
  std::vector<GenerationPiece> pieces;
  for (size_t i = 0; i < job.news.size(); ++i) {
    if (job.news[i].empty()) continue;
    pieces.push_back(std::exchange(job.news[i], {}));
    pieces.back().choice = i;
  }
  job.has_news = false;
  return pieces;
}

GenerationService::GenerationService(std::unique_ptr<Engine> engine, const Tokenizer& tokenizer, const Clock& clock)
    : engine_(std::move(engine)), tokenizer_(tokenizer), clock_(clock), next_seed_(std::random_device()()) {
  counts_.version = engine_->version();
  thread_ = std::thread([this] { Run(); });
}

GenerationService::~GenerationService() {
  Stop();
  thread_.join();
}

void GenerationService::Stop(double timeout_s) {
  const absl::MutexLock lock(&mutex_);
  stop_ = true;
  const auto gone = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return generations_ == 0; };
  mutex_.AwaitWithTimeout(absl::Condition(&gone), absl::Seconds(timeout_s));
}

bool GenerationService::Post(Task task) {
  const absl::MutexLock lock(&mutex_);
  if (!stop_) tasks_.push_back(std::move(task));
  return !stop_;
}

void GenerationService::Run() {
  const auto wanted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stop_ || !tasks_.empty() || engine_->live() > 0;
  };
  while (true) {
    std::vector<Task> tasks;
    {
      const absl::MutexLock lock(&mutex_);
      counts_.tokens = engine_->tokens_generated();
      counts_.preemptions = engine_->preemptions();
      counts_.live = engine_->live();
      counts_.pages_held = engine_->pages_held();
      counts_.version = engine_->version();
      mutex_.Await(absl::Condition(&wanted));
      if (stop_) break;
      tasks = std::exchange(tasks_, {});
    }
    for (const Task& task : tasks) task();
    engine_->Step();
  }
  std::vector<Task> tasks;
  {
    const absl::MutexLock lock(&mutex_);
    tasks = std::exchange(tasks_, {});
  }
  for (const Task& task : tasks) task();  // whoever waits for one need not wait for ever
  for (const auto& weak : jobs_) {
    if (const auto job = weak.lock()) job->Fail(absl::UnavailableError("the server is being stopped"));
  }
}

std::unique_ptr<Generation> GenerationService::Begin(const CompletionRequest& request) {
  const auto job = std::make_shared<GenerationJob>(request.choices());
  uint64_t seed = 0;
  {
    const absl::MutexLock lock(&mutex_);
    seed = request.seed.value_or(next_seed_++);
    ++generations_;
    ++counts_.requests;
    counts_.choices += request.choices();
  }
  const double deadline_s = clock_.Now() + request.timeout_s;
  const bool posted = Post([this, job, request, seed, deadline_s] {
    std::erase_if(jobs_, [](const auto& weak) { return weak.expired(); });
    jobs_.push_back(job);
    for (size_t i = 0; i < request.choices(); ++i) {
      GenerateRequest turn = request.sampling;
      turn.prompt = request.PromptOf(i);
      turn.random_key = MixKey(seed, i);
      turn.deadline_s = deadline_s;
      Submit(job, i, std::move(turn), request.stops);
    }
  });
  if (!posted) job->Fail(absl::UnavailableError("the server is being stopped"));
  return std::unique_ptr<Generation>(new Generation(this, job));
}

void GenerationService::Submit(const std::shared_ptr<GenerationJob>& job, size_t choice, GenerateRequest request,
                               const StopStrings& stops) {
  const auto stream = std::make_shared<TextStream>(tokenizer_, stops);
  const auto on_token = [this, job, choice, stream](int32_t token) {
    const Engine::RequestId id = job->ids[choice];
    const GenerateResult& result = *engine_->ResultSoFar(id);
    const float model_logprob = result.model_logprobs.back();
    if (std::isnan(model_logprob)) return job->Fail(NotANumber("the model"));
    const std::string text = stream->Push(token);
    {
      const absl::MutexLock lock(&job->mutex);
      GenerationPiece& news = job->news[choice];
      news.text += text;
      news.ids.push_back(token);
      news.model_logprobs.push_back(model_logprob);
      news.sampled_logprobs.push_back(result.sampled_logprobs.back());
      AddToRuns(news.versions, result.version_runs.back().version, 1);
      job->has_news = true;
    }
    if (stream->stopped()) engine_->Cancel(id);
  };
  const auto on_done = [job, choice, stream](const GenerateResult& result) {
    const absl::MutexLock lock(&job->mutex);
    GenerationPiece& news = job->news[choice];
    news.text += stream->Finish();
    if (stream->stopped()) news.stop_string = stream->stop_string();
    const bool stopped = stream->stopped() || result.finish == proto::STOP;
    news.finish = stopped ? "stop" : result.finish == proto::OVERDUE ? "timeout" : "length";
    job->has_news = true;
    --job->left;
  };
  const auto submitted = engine_->Submit(std::move(request), on_token, on_done);
  if (!submitted.ok()) return job->Fail(submitted.status());
  job->ids[choice] = *submitted;
}

void GenerationService::Cancel(const std::shared_ptr<GenerationJob>& job) {
  {
    const absl::MutexLock lock(&job->mutex);
    if (job->left == 0) return;
  }
  Post([this, job] {
    size_t left = 0;
    for (const Engine::RequestId id : job->ids) {
      left += engine_->ResultSoFar(id) == nullptr ? 0 : 1;
      engine_->Cancel(id);
    }
    const absl::MutexLock lock(&mutex_);
    counts_.cancelled += left;
  });
}

absl::StatusOr<VersionId> GenerationService::Install(std::span<const float> weights) {
  absl::Notification done;
  absl::StatusOr<VersionId> installed = absl::UnavailableError("the server is being stopped");
  const bool posted = Post([&] {
    VersionId next = engine_->version();
    ++next.number;
    absl::Status status = engine_->InstallOverSteps(next, weights);
    while (engine_->installing()) engine_->Step();  // the others' tokens go on
    status.Update(engine_->install_status());
    installed = status.ok() ? absl::StatusOr<VersionId>(next) : status;
    done.Notify();
  });
  if (posted) done.WaitForNotification();
  return installed;
}

ServiceCounts GenerationService::Counts() const {
  const absl::MutexLock lock(&mutex_);
  return counts_;
}

}  // namespace tandem
