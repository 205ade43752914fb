#include "rollout/remote/remote_calls.h"

#include <httplib.h>
#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace tandem {
namespace {

constexpr double kFirstPause_s = 0.5, kLongestPause_s = 10;  // between attempts: doubled each time
constexpr double kGrace_s = 1;  // beyond its timeout, after which a connection is cut off from outside

}  // namespace

RemoteCalls::RemoteCalls(RemoteModel model) : model_(std::move(model)) {
  signal(SIGPIPE, SIG_IGN);  // a peer that hangs up while it is written to is an error, not the end of the process
}

RemoteCalls::~RemoteCalls() {
  {
    const absl::MutexLock lock(&mutex_);
    stop_ = true;
    for (const Connection& connection : connections_) {
      if (connection.client != nullptr) connection.client->stop();
    }
  }
  for (std::thread& thread : threads_) thread.join();
}

uint64_t RemoteCalls::Begin(RemoteQuestion question) {
  const absl::MutexLock lock(&mutex_);
  if (threads_.empty()) {
    connections_.resize(model_.config().concurrency());
    for (size_t i = 0; i < connections_.size(); ++i) threads_.emplace_back([this, i] { Run(i); });
  }
  waiting_.emplace_back(++last_number_, std::move(question));
  asked_.insert(last_number_);
  return last_number_;
}

void RemoteCalls::Forget(uint64_t number) {
  const absl::MutexLock lock(&mutex_);
  std::erase_if(waiting_, [number](const auto& waiting) { return waiting.first == number; });
  std::erase_if(replies_, [number](const auto& reply) { return reply.first == number; });
  asked_.erase(number);
}

std::vector<std::pair<uint64_t, RemoteReply>> RemoteCalls::Take() {
  const absl::MutexLock lock(&mutex_);
  // The library's timeouts are of single reads: a server that drips could hold a connection for ever.
  for (const Connection& connection : connections_) {
    if (connection.client != nullptr && connection.deadline_s < clock_.Now()) connection.client->stop();
  }
  std::sort(replies_.begin(), replies_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [number, reply] : replies_) asked_.erase(number);
  return std::exchange(replies_, {});
}

void RemoteCalls::Wait(double timeout_s) {
  const absl::MutexLock lock(&mutex_);
  const auto came = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !replies_.empty(); };
  mutex_.AwaitWithTimeout(absl::Condition(&came), absl::Seconds(timeout_s));
}

size_t RemoteCalls::under_way() const {
  const absl::MutexLock lock(&mutex_);
  return asked_.size();
}

void RemoteCalls::Run(size_t thread) {
  const auto wanted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stop_ || !waiting_.empty(); };
  while (true) {
    std::pair<uint64_t, RemoteQuestion> next;
    {
      const absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&wanted));
      if (stop_) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    RemoteReply reply = AskWithRetries(thread, next.second);
    const absl::MutexLock lock(&mutex_);
    if (asked_.contains(next.first)) replies_.emplace_back(next.first, std::move(reply));
  }
}

RemoteReply RemoteCalls::AskWithRetries(size_t thread, const RemoteQuestion& question) {
  double pause_s = kFirstPause_s;
  for (uint32_t attempt = 1;; ++attempt) {
    RemoteReply reply = model_.Ask(question, [&](httplib::Client* client) { Use(thread, client); });
    reply.answer.set_attempts(attempt);
    const bool last = attempt > model_.config().retries() || !MayBeRetried(reply);
    if (last && !reply.fault.empty() && attempt > 1)
      absl::StrAppend(&reply.detail, " (attempt ", attempt, ", the last)");
    if (last) return reply;
    const absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&stop_), absl::Seconds(pause_s));
    if (stop_) return reply;
    pause_s = std::min(2 * pause_s, kLongestPause_s);
  }
}

void RemoteCalls::Use(size_t thread, httplib::Client* client) {
  const absl::MutexLock lock(&mutex_);
  connections_[thread] = {client, clock_.Now() + model_.config().timeout_s() + kGrace_s};
  if (stop_ && client != nullptr) client->stop();
}

}  // namespace tandem
