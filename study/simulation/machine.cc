#include "study/simulation/machine.h"

#include <algorithm>

#include "base/status.h"

namespace tandem {

double Machine::rate() const { return threads_ <= cores_ ? 1 : cores_ / threads_; }

void Machine::Advance() {
  const double seconds = events_.now_s() - at_s_;
  at_s_ = events_.now_s();
  served_ += seconds * rate();
  if (threads_ > cores_) contended_s_ += seconds;
}

Machine::Job Machine::Start(double cpu_s, uint32_t threads, std::function<void()> done) {
  Advance();
  const Job job = next_job_++;
  const double end = served_ + cpu_s / threads;
  running_.emplace(job, Running{end, threads, std::move(done)});
  order_.emplace(end, job);
  threads_ += threads;
  Schedule();
  return job;
}

double Machine::Stop(Job job) {
  Advance();
  const auto found = running_.find(job);
  TANDEM_CHECK(found != running_.end());
  const double left = std::max(0.0, found->second.end - served_) * found->second.threads;
  threads_ -= found->second.threads;
  order_.erase({found->second.end, job});
  running_.erase(found);
  Schedule();
  return left;
}

double Machine::contended_s() {
  Advance();
  return contended_s_;
}

// One event is under way, for the job that ends first at the rate of now.
void Machine::Schedule() {
  const std::pair<Job, uint32_t> wanted = {order_.empty() ? 0 : order_.begin()->second, threads_};
  if (wanted.first == scheduled_.first &&
      (wanted.second == scheduled_.second || std::max(wanted.second, scheduled_.second) <= cores_))
    return;
  scheduled_ = wanted;
  ++turn_;
  if (order_.empty()) return;
  const double seconds = std::max(0.0, order_.begin()->first - served_) / rate();
  events_.After(seconds, [this, turn = turn_] {
    if (turn == turn_) FinishFirst();
  });
}

void Machine::FinishFirst() {
  Advance();
  const auto [end, job] = *order_.begin();
  served_ = std::max(served_, end);  // rounding must not leave it with next to nothing to go
  const auto found = running_.find(job);
  const std::function<void()> done = std::move(found->second.done);
  threads_ -= found->second.threads;
  order_.erase(order_.begin());
  running_.erase(found);
  Schedule();
  done();
}

}  // namespace tandem
