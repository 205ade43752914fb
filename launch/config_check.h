// Whether the keys of a configuration go together. Each error names the key to change.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "launch/config.h"

namespace tandem {

struct KnownNames {
  std::vector<std::string> environments;
  std::vector<std::string> losses;
};

// kInvalidArgument, one line with the key's place.
absl::Status CheckConfig(const LoadedConfig& loaded, const KnownNames& known);

// Whether the turns of `config` fit the contexts of the policies that write them, when the longest prompt of the
// planner has `planner_prompt` tokens and that of the executor `executor_prompt`.
struct PromptRoom {
  int64_t prompt = 0;   // tokens of the longest
  int64_t context = 0;  // of the policy's model
};
absl::Status CheckContexts(const LoadedConfig& loaded, PromptRoom planner, PromptRoom executor);

}  // namespace tandem
