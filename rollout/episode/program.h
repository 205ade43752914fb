// Programs: what happens in an episode, as coroutines that read from top to bottom. There is no scheduler: a program
// runs inside of whatever resumes it (an engine's callback), until it waits again.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "base/status.h"

namespace tandem {

template <typename T>
class Program;

namespace program_internal {

// Resumes whoever waits for the program.
struct FinalAwaiter {
  bool await_ready() noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> ended) noexcept {
    const std::coroutine_handle<> waiter = ended.promise().waiter;
    if (waiter) return waiter;
    return std::noop_coroutine();
  }
  void await_resume() noexcept {}
};

struct PromiseBase {
  std::coroutine_handle<> waiter;
  bool started = false;

  std::suspend_always initial_suspend() noexcept { return {}; }
  FinalAwaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() noexcept { std::terminate(); }  // errors are Status
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Program<T> get_return_object();
  void return_value(T v) { value.emplace(std::move(v)); }
  T Take() { return *std::move(value); }
};

template <>
struct Promise<void> : PromiseBase {
  Program<void> get_return_object();
  void return_void() {}
  void Take() {}
};

}  // namespace program_internal

// Owns a coroutine. It starts lazily: by Start(), which runs it until it first waits, or by `co_await`, which gives
// what it returns. One waiter at most. Destroying a program that waits for something drops it there: its locals are
// destroyed, and what it waits for has to have been cancelled before. Not to be destroyed while it runs.
//
// With g++ 12: no co_await inside of ?: or of a call's arguments, and programs take their arguments by value or by
// reference to what outlives them.
template <typename T>
class [[nodiscard]] Program {
 public:
  using promise_type = program_internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Program() = default;
  explicit Program(Handle handle) : handle_(handle) {}
  Program(Program&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Program& operator=(Program&& other) noexcept {
    if (this != &other) {
      Drop();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  ~Program() { Drop(); }

  void Start() {
    TANDEM_CHECK(handle_ && !handle_.promise().started);
    handle_.promise().started = true;
    handle_.resume();
  }

  bool done() const { return handle_ && handle_.done(); }

  // Destroys the coroutine where it waits.
  void Drop() {
    if (handle_) std::exchange(handle_, {}).destroy();
  }

  bool await_ready() const { return handle_.done(); }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) {
    TANDEM_CHECK(!handle_.promise().waiter);
    handle_.promise().waiter = waiter;
    if (handle_.promise().started) return std::noop_coroutine();
    handle_.promise().started = true;
    return handle_;
  }
  T await_resume() { return handle_.promise().Take(); }

 private:
  Handle handle_;
};

namespace program_internal {

template <typename T>
Program<T> Promise<T>::get_return_object() {
  return Program<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Program<void> Promise<void>::get_return_object() {
  return Program<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

}  // namespace program_internal
}  // namespace tandem
