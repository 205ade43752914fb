// What the world can do wrong is an absl::Status; TANDEM_CHECK is for our own bugs only.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

#define TANDEM_CONCAT_INNER(a, b) a##b
#define TANDEM_CONCAT(a, b) TANDEM_CONCAT_INNER(a, b)

// Returns from the enclosing function when `expr` is not OK.
#define TANDEM_RETURN_IF_ERROR(expr)                                                    \
  do {                                                                                  \
    if (absl::Status tandem_status = (expr); !tandem_status.ok()) return tandem_status; \
  } while (false)

// TANDEM_ASSIGN_OR_RETURN(auto x, F()): x is F()'s value, or the enclosing function returns F()'s error.
#define TANDEM_ASSIGN_OR_RETURN(lhs, expr) TANDEM_ASSIGN_OR_RETURN_INNER(TANDEM_CONCAT(tandem_or_, __LINE__), lhs, expr)
#define TANDEM_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                                  \
  if (!tmp.ok()) return std::move(tmp).status();      \
  lhs = *std::move(tmp)

// Aborts with file and line when `condition` does not hold: a bug of ours, never a user's input.
#define TANDEM_CHECK(condition)                                                               \
  do {                                                                                        \
    if (!(condition)) [[unlikely]] {                                                          \
      std::fprintf(stderr, "%s:%d: bug: %s does not hold\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                           \
    }                                                                                         \
  } while (false)

namespace tandem {

// The error with `context` in front: "reading run.yaml: no such file".
inline absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(std::string(context), ": ", std::string(status.message())));
}

}  // namespace tandem
