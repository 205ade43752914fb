// Which weights.
#pragma once

#include <compare>
#include <cstdint>
#include <utility>
#include <vector>

namespace tandem {

struct VersionId {
  uint32_t incarnation = 0;
  uint32_t number = 0;
  auto operator<=>(const VersionId&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const VersionId& v) {
    return H::combine(std::move(h), v.incarnation, v.number);
  }
};

struct VersionCount {
  VersionId version;
  uint32_t count;
  bool operator==(const VersionCount&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const VersionCount& c) {
    return H::combine(std::move(h), c.version, c.count);
  }
};

// Versions in a row, each for so many tokens. Neighbours differ.
using VersionRuns = std::vector<VersionCount>;

inline void AddToRuns(VersionRuns& runs, VersionId version, uint32_t count) {
  if (runs.empty() || runs.back().version != version) {
    runs.push_back({version, count});
  } else {
    runs.back().count += count;
  }
}

}  // namespace tandem
