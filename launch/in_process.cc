#include "launch/in_process.h"

#include <signal.h>

#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <zmq.hpp>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "base/virtual_time.h"
#include "launch/processes.h"
#include "launch/stop_signals.h"
#include "proto/wire/virtual_network.h"

namespace tandem {
namespace {

// One part. Shared with its thread, which may outlive the run when it hangs.
struct Part {
  std::string name;
  ChildSpec::Kind kind;
  std::function<absl::Status(wire::Network&, const std::atomic<bool>&)> body;
  absl::Mutex mutex;
  bool ended ABSL_GUARDED_BY(mutex) = false;
  absl::Status result ABSL_GUARDED_BY(mutex);
};

// Where the parts meet.
struct Hall {
  RunSetup setup;
  zmq::context_t context{1};
  std::unique_ptr<wire::Network> network;
  std::optional<VirtualTime> time;  // under a virtual clock; parts enter it by their numbers
  std::atomic<bool> stop_exchange{false}, stop_others{false};
  std::vector<std::unique_ptr<Part>> parts;
};

void AddPart(Hall* hall, ChildSpec::Kind kind, const std::string& name,
             std::function<absl::Status(wire::Network&, const std::atomic<bool>&)> body) {
  hall->parts.push_back(std::make_unique<Part>());
  hall->parts.back()->name = name;
  hall->parts.back()->kind = kind;
  hall->parts.back()->body = std::move(body);
}

void Join(Hall* hall) {
  const proto::Config& config = hall->setup.loaded.config;
  if (config.clock() == proto::REAL) {
    hall->network = std::make_unique<wire::ZmqNetwork>(hall->context);
    return;
  }
  hall->time.emplace(hall->parts.size());
  const wire::MessageTimes times = {config.durations().message_s(), 1e-6 * config.durations().megabyte_s()};
  hall->network = std::make_unique<wire::VirtualNetwork>(*hall->time, times);
}

std::shared_ptr<Hall> MakeHall(const RunSetup& setup) {
  auto hall = std::make_shared<Hall>();
  hall->setup = setup;
  const RunSetup& kept = hall->setup;
  AddPart(hall.get(), ChildSpec::kExchange, "exchange", [&kept](wire::Network& network, const std::atomic<bool>& stop) {
    return RunExchangePart(kept, network, stop);
  });
  for (const std::string& policy : PolicyNames(kept.loaded.config)) {
    for (uint32_t rank = 0; rank < kept.loaded.config.policies().at(policy).ranks(); ++rank) {
      AddPart(hall.get(), ChildSpec::kTrainer, absl::StrCat("trainer-", policy, "-", rank),
              [&kept, policy, rank](wire::Network& network, const std::atomic<bool>& stop) {
                return RunTrainerPart(kept, policy, rank, network, stop);
              });
    }
  }
  for (uint32_t index = 0; index < WorkerCount(kept.loaded.config, AvailableCores()); ++index) {
    AddPart(hall.get(), ChildSpec::kWorker, absl::StrCat("worker-", index),
            [&kept, index](wire::Network& network, const std::atomic<bool>& stop) {
              return RunWorkerPart(kept, index, network, stop);
            });
  }
  Join(hall.get());
  return hall;
}

class InProcessRun {
 public:
  InProcessRun(std::shared_ptr<Hall> hall, const SupervisorOptions& options)
      : hall_(std::move(hall)), options_(options) {}

  absl::StatusOr<RunOutcome> Run() {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < hall_->parts.size(); ++i) threads.emplace_back(Body, hall_, i);
    while (!RunningNames().empty() && clock_.Now() < deadline_ && !killed_) {
      OnSignal(WaitForSignal(options_.tick_s));
      CheckEnds();
      if (options_.tick) options_.tick();
    }
    const std::vector<std::string> left = RunningNames();
    for (std::thread& thread : threads) left.empty() ? thread.join() : thread.detach();
    if (!error_.ok()) return error_;
    if (!left.empty()) {
      return absl::DeadlineExceededError(absl::StrCat(absl::StrJoin(left, ", "), " did not end in time"));
    }
    return stopped_ ? RunOutcome::kStopped : RunOutcome::kFinished;
  }

 private:
  static void Body(std::shared_ptr<Hall> hall, size_t number) {
    Part* part = hall->parts[number].get();
    const bool exchange = part->kind == ChildSpec::kExchange;
    if (hall->time) hall->time->Enter(number);
    absl::Status result = part->body(*hall->network, exchange ? hall->stop_exchange : hall->stop_others);
    if (hall->time) hall->time->Leave();
    absl::MutexLock lock(&part->mutex);
    part->result = std::move(result);
    part->ended = true;
  }

  void OnSignal(int signal) {
    if (!AsksToStop(signal)) return;
    if (stopped_) {
      error_ = absl::CancelledError("stopped at once, before all checkpoints were written");
      killed_ = true;
      return;
    }
    stopped_ = true;
    if (options_.say) options_.say("stopping: checkpoints are being written (once more: at once)");
    hall_->stop_exchange = true;
    deadline_ = std::min(deadline_, clock_.Now() + options_.stop_s);
  }

  // The exchange ended: the others have end_s. Anybody failed: all are told to leave.
  void CheckEnds() {
    for (const auto& part : hall_->parts) {
      absl::MutexLock lock(&part->mutex);
      if (!part->ended) continue;
      if (!part->result.ok() && error_.ok()) {
        error_ = Annotate(part->result, part->name);
        hall_->stop_exchange = hall_->stop_others = true;
        deadline_ = std::min(deadline_, clock_.Now() + options_.term_s);
      }
      if (part->kind != ChildSpec::kExchange) continue;
      if (stopped_) hall_->stop_others = true;  // those that had not joined yet
      deadline_ = std::min(deadline_, clock_.Now() + options_.end_s);
    }
  }

  std::vector<std::string> RunningNames() const {
    std::vector<std::string> names;
    for (const auto& part : hall_->parts) {
      absl::MutexLock lock(&part->mutex);
      if (!part->ended) names.push_back(part->name);
    }
    return names;
  }

  std::shared_ptr<Hall> hall_;
  const SupervisorOptions& options_;
  RealClock clock_;
  double deadline_ = 1e18;
  bool stopped_ = false, killed_ = false;
  absl::Status error_;
};

}  // namespace

absl::StatusOr<RunOutcome> RunInProcess(const RunSetup& setup, const SupervisorOptions& options) {
  return InProcessRun(MakeHall(setup), options).Run();
}

}  // namespace tandem
