// A value that is written once and that several programs may wait for.
#pragma once

#include <coroutine>
#include <optional>
#include <utility>

#include "base/status.h"

namespace tandem {

// Stays where it is while anybody waits. A program that is dropped while it waits may not be followed by Set: whoever
// drops programs drops all that share the value.
template <typename T>
class Later {
 public:
  Later() = default;
  Later(const Later&) = delete;
  Later& operator=(const Later&) = delete;

  class Awaiter {
   public:
    explicit Awaiter(Later& later) : later_(later) {}
    bool await_ready() const { return later_.value_.has_value(); }
    void await_suspend(std::coroutine_handle<> waiter) {
      waiter_ = waiter;
      *later_.end_ = this;
      later_.end_ = &next_;
    }
    const T& await_resume() const { return *later_.value_; }

   private:
    friend class Later;
    Later& later_;
    std::coroutine_handle<> waiter_;
    Awaiter* next_ = nullptr;  // the waiters are a list, in the order of their arrival
  };

  // co_await later.Wait() gives the value, at once if it is there.
  Awaiter Wait() { return Awaiter(*this); }

  // Resumes all waiters, in order, before it returns.
  void Set(T value) {
    TANDEM_CHECK(!value_);
    value_.emplace(std::move(value));
    Awaiter* waiting = std::exchange(first_, nullptr);
    while (waiting != nullptr) {
      // An awaiter dies as soon as its program goes on.
      Awaiter* const next = waiting->next_;
      waiting->waiter_.resume();
      waiting = next;
    }
  }

  const std::optional<T>& value() const { return value_; }

 private:
  std::optional<T> value_;
  Awaiter* first_ = nullptr;
  Awaiter** end_ = &first_;
};

}  // namespace tandem
