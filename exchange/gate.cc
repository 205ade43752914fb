#include "exchange/gate.h"

#include <algorithm>

#include "base/status.h"

namespace tandem {

void Gate::Add(int64_t due) { ++outstanding_[due]; }

void Gate::Remove(int64_t due) {
  const auto it = outstanding_.find(due);
  TANDEM_CHECK(it != outstanding_.end());
  if (--it->second == 0) outstanding_.erase(it);
}

bool Gate::Admits(int64_t next, int64_t due) const {
  Gate with = *this;
  with.Add(due);
  return !with.Overfull(next).has_value();
}

std::optional<int64_t> Gate::Overfull(int64_t next) const {
  int64_t groups = 0;
  // Between two due versions the left side of (*) stays and the right side grows: only due versions need a look.
  for (const auto& [due, count] : outstanding_) {
    if (due == kNeverDue) break;
    groups += static_cast<int64_t>(count);
    const int64_t batches = std::max<int64_t>(0, due - next + 1);
    if (groups > batches * groups_per_step_) return due;
  }
  return std::nullopt;
}

size_t Gate::DueBy(int64_t step) const {
  size_t groups = 0;
  for (const auto& [due, count] : outstanding_) {
    if (due > step) break;
    groups += count;
  }
  return groups;
}

}  // namespace tandem
