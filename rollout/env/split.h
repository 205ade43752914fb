// Which split a question belongs to, and how tasks of a split are drawn.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "rollout/env/environment.h"

namespace tandem {

// Decided by the question's hash and the configured shares alone, so that no question is in two splits, whatever the
// seed.
proto::Split SplitOf(std::string_view question, const proto::EnvironmentConfig& config);

// "training", "validation", "held-out".
std::string_view SplitName(proto::Split split);

// The index-th task of a split: `draw` is called with random numbers of (seed, split, index) until its question falls
// into the split. kFailedPrecondition: none of many draws does (a share of 0, or hardly any different questions).
absl::StatusOr<Task> DrawTask(const proto::EnvironmentConfig& config, uint64_t seed, proto::Split split, uint64_t index,
                              absl::FunctionRef<Task(RandomStream&)> draw);

}  // namespace tandem
