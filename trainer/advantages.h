// What a turn is worth: its reward compared with that of its advantage group.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "proto/config.pb.h"
#include "trainer/batch.h"

namespace tandem {

inline constexpr double kAdvantageEpsilon = 1e-6;

struct Advantages {
  static constexpr int64_t kLeftOut = -1;
  std::vector<float> values;   // [turns]
  std::vector<int64_t> group;  // [turns] advantage group, numbered in canonical order; kLeftOut: no loss on this turn
  uint32_t groups_without_variance = 0;
};

// Group-relative advantages (DeepSeekMath, arXiv:2402.03300, sec. 4.1.2): within an advantage group, reward - mean, or
// (reward - mean) / (std + kAdvantageEpsilon) with the standard deviation of the group itself (divided by n).
// compare = task: a group holds the turns of one role over the episodes of one ticket. step: those of them that have
// the same prompt ids. An episode with more turns of a role has more members: a ragged count changes weights only.
// Masked turns are left out before anything is averaged, as are turns without an unmasked token. A group whose rewards
// are all equal, or with one member, teaches nothing: it is left out and counted.
Advantages GroupAdvantages(std::span<const TrainingTurn> turns, const proto::AdvantageConfig& config);

}  // namespace tandem
