#include "base/virtual_time.h"

#include <cmath>
#include <utility>

#include "base/status.h"

namespace tandem {
namespace {

class ClockOfThreads final : public Clock {
 public:
  ClockOfThreads(VirtualTime* time, double offset) : time_(*time), offset_(offset - time->now()) {}
  double Now() const override { return time_.now() + offset_; }
  void Spend(double seconds) const override {
    // Whoever speaks to this thread wakes it; it is busy all the same.
    for (const double until = time_.now() + seconds; time_.now() < until;) time_.Wait(until);
  }

 private:
  VirtualTime& time_;
  const double offset_;
};

}  // namespace

VirtualTime::VirtualTime(size_t threads) : running_(threads) {
  for (size_t i = 0; i < threads; ++i) threads_.push_back(std::make_unique<Thread>());
}

void VirtualTime::Enter(size_t thread) {
  std::unique_lock lock(mutex_);
  threads_.at(thread)->due = 0;
  threads_[thread]->order = thread;
  if (++entered_ == threads_.size()) {
    next_order_ = threads_.size();
    PassOn();
  }
  AwaitTurn(lock, thread);
}

void VirtualTime::Leave() {
  std::unique_lock lock(mutex_);
  threads_.at(running_)->due = kNever;
  PassOn();
}

double VirtualTime::now() const {
  std::unique_lock lock(mutex_);
  return now_;
}

size_t VirtualTime::current() const {
  std::unique_lock lock(mutex_);
  return running_;
}

void VirtualTime::Wait(double until) {
  TANDEM_CHECK(std::isfinite(until));
  std::unique_lock lock(mutex_);
  const size_t self = running_;
  SetDue(threads_.at(self).get(), std::max(until, now_));
  PassOn();
  AwaitTurn(lock, self);
}

void VirtualTime::Wake(size_t thread, double at) {
  std::unique_lock lock(mutex_);
  Thread* sleeper = threads_.at(thread).get();
  TANDEM_CHECK(at >= now_);
  // One that has left has nothing to wait for; one that runs is due at no time.
  if (thread != running_ && sleeper->due != kNever && at < sleeper->due) SetDue(sleeper, at);
}

std::unique_ptr<Clock> VirtualTime::MakeClock(double offset) { return std::make_unique<ClockOfThreads>(this, offset); }

void VirtualTime::AwaitTurn(std::unique_lock<std::mutex>& lock, size_t thread) {
  threads_[thread]->turn.wait(lock, [&] { return running_ == thread; });
}

void VirtualTime::SetDue(Thread* thread, double due) {
  thread->due = due;
  thread->order = next_order_++;
}

void VirtualTime::PassOn() {
  size_t first = threads_.size();
  for (size_t i = 0; i < threads_.size(); ++i) {
    if (threads_[i]->due == kNever) continue;
    if (first == threads_.size() ||
        std::pair(threads_[i]->due, threads_[i]->order) < std::pair(threads_[first]->due, threads_[first]->order)) {
      first = i;
    }
  }
  running_ = first;
  if (first == threads_.size()) return;  // all have left
  now_ = threads_[first]->due;
  threads_[first]->turn.notify_one();
}

}  // namespace tandem
