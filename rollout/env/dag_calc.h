// dag-calc: arithmetic modulo a small number, e.g. "(3+4)*2-5=", planned as "A=3+4;B=A*2;C=B-5" and carried out step by
// step
// ("7*2=").
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "rollout/env/environment.h"

namespace tandem {

// kInvalidArgument names the key that is wrong, or file and line of a bad task.
absl::StatusOr<std::unique_ptr<Environment>> MakeDagCalc(const proto::EnvironmentConfig& config, uint64_t seed,
                                                         const std::string& directory);

}  // namespace tandem
