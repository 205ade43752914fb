#include "rollout/env/split.h"

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "base/status.h"

namespace tandem {

proto::Split SplitOf(std::string_view question, const proto::EnvironmentConfig& config) {
  const double place = static_cast<double>(StableHash(question) >> 11) * 0x1.0p-53;  // uniform in [0, 1)
  if (place < config.validation_share()) return proto::VALIDATION;
  if (place < config.validation_share() + config.heldout_share()) return proto::HELD_OUT;
  return proto::TRAINING;
}

std::string_view SplitName(proto::Split split) {
  return split == proto::TRAINING ? "training" : split == proto::VALIDATION ? "validation" : "held-out";
}

absl::StatusOr<Task> DrawTask(const proto::EnvironmentConfig& config, uint64_t seed, proto::Split split, uint64_t index,
                              absl::FunctionRef<Task(RandomStream&)> draw) {
  constexpr int kDraws = 20'000;
  RandomStream random(MixKey(MixKey(MixKey(seed, StableHash("task")), split), index));
  for (int i = 0; i < kDraws; ++i) {
    Task task = draw(random);
    if (SplitOf(task.question, config) != split) continue;
    task.index = index;
    return task;
  }
  return absl::FailedPreconditionError(absl::StrCat("environment: none of ", kDraws, " questions drawn falls into the ",
                                                    std::string(SplitName(split)),
                                                    " split; widen the questions, or the split's share"));
}

}  // namespace tandem
