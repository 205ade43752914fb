// The one place where torch's exceptions become absl::Status.
#pragma once

#include <c10/util/Exception.h>

#include <exception>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// The first line of what torch says: the rest is a stack trace.
inline std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

// Calls `fn`. Its result T comes back as StatusOr<T> (void: Status; a Status or StatusOr as it is). Memory of the
// device used up is kResourceExhausted; anything else that torch throws is kInternal with torch's first line.
template <typename Fn>
auto TorchStatus(Fn&& fn) {
  using Result = std::invoke_result_t<Fn>;
  using Wrapped = std::conditional_t<std::is_void_v<Result> || std::is_same_v<Result, absl::Status>, absl::Status,
                                     absl::StatusOr<Result>>;
  try {
    if constexpr (std::is_void_v<Result>) {
      std::forward<Fn>(fn)();
      return absl::OkStatus();
    } else {
      return Wrapped(std::forward<Fn>(fn)());
    }
  } catch (const c10::OutOfMemoryError& error) {
    return Wrapped(absl::ResourceExhaustedError(FirstLine(error.what_without_backtrace())));
  } catch (const c10::Error& error) {
    return Wrapped(absl::InternalError("torch: " + FirstLine(error.what_without_backtrace())));
  } catch (const std::exception& error) {
    return Wrapped(absl::InternalError("torch: " + FirstLine(error.what())));
  }
}

}  // namespace tandem
