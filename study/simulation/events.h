// Virtual time: what is to happen, and when.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

namespace tandem {

// Not thread-safe.
class Events {
 public:
  double now_s() const { return now_s_; }
  bool empty() const { return queue_.empty(); }
  double next_s() const { return queue_.top().time_s; }

  // What is to happen at the same time happens in the order of these calls.
  void After(double seconds, std::function<void()> action) {
    queue_.push({now_s_ + seconds, next_number_++, std::move(action)});
  }

  // Moves the time on to the next action, and does it. There has to be one.
  void RunNext() {
    const Event event = std::move(const_cast<Event&>(queue_.top()));  // what it holds is dear to copy, and goes next
    queue_.pop();
    now_s_ = event.time_s;
    event.action();
  }

 private:
  struct Event {
    double time_s;
    uint64_t number;
    std::function<void()> action;
    bool operator<(const Event& other) const {  // the queue's largest is the first
      return std::pair(time_s, number) > std::pair(other.time_s, other.number);
    }
  };

  std::priority_queue<Event> queue_;
  uint64_t next_number_ = 0;
  double now_s_ = 0;
};

}  // namespace tandem
