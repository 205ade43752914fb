// Questions to a remote model that are under way, on threads of their own: whoever asks never waits for the network.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "rollout/remote/remote_model.h"

namespace tandem {

// For one thread, but for its own. Each question has its reply after (retries + 1) * (timeout_s + 10 s) at the latest,
// unless it is forgotten or waits for others.
class RemoteCalls {
 public:
  explicit RemoteCalls(RemoteModel model);
  ~RemoteCalls();  // cuts off what is under way
  RemoteCalls(const RemoteCalls&) = delete;
  RemoteCalls& operator=(const RemoteCalls&) = delete;

  // Returns the number of the question, from 1. The threads, `concurrency` of them, start with the first one.
  uint64_t Begin(RemoteQuestion question);
  // There will be no reply.
  void Forget(uint64_t number);

  // The replies that have come, by number. Does not wait.
  std::vector<std::pair<uint64_t, RemoteReply>> Take();
  // Waits until there is one, timeout_s at most.
  void Wait(double timeout_s);

  size_t under_way() const;  // questions without a reply that was taken
  const RemoteModel& model() const { return model_; }

 private:
  struct Connection {
    httplib::Client* client = nullptr;
    double deadline_s = 0;
  };
  void Run(size_t thread);
  RemoteReply AskWithRetries(size_t thread, const RemoteQuestion& question);
  void Use(size_t thread, httplib::Client* client);

  RemoteModel model_;
  const RealClock clock_;
  mutable absl::Mutex mutex_;
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<std::pair<uint64_t, RemoteQuestion>> waiting_ ABSL_GUARDED_BY(mutex_);
  std::set<uint64_t> asked_ ABSL_GUARDED_BY(mutex_);  // and neither replied to nor forgotten
  std::vector<std::pair<uint64_t, RemoteReply>> replies_ ABSL_GUARDED_BY(mutex_);
  std::vector<Connection> connections_ ABSL_GUARDED_BY(mutex_);  // [threads]
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace tandem
