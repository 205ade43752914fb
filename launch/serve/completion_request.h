// What a client of `tandem serve` asks for: the bodies of /v1/completions and /v1/chat/completions.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "launch/serve/served_model.h"
#include "policy/tokenizer/text_stream.h"
#include "rollout/engine/request.h"

namespace tandem {

struct CompletionRequest {
  bool chat = false;
  std::vector<std::vector<int32_t>> prompts;  // one for a chat
  int64_t n = 1;                              // choices for each prompt
  GenerateRequest sampling;                   // of each choice, but for prompt, key and deadline
  StopStrings stops;
  std::optional<uint64_t> seed;
  bool stream = false, include_usage = false;
  bool logprobs = false, return_token_ids = false;
  double timeout_s = std::numeric_limits<double>::infinity();

  // The choices of all prompts are counted through, those of the first prompt first.
  size_t choices() const { return prompts.size() * static_cast<size_t>(n); }
  const std::vector<int32_t>& PromptOf(size_t choice) const { return prompts[choice / static_cast<size_t>(n)]; }
};

// kInvalidArgument names the key and what was expected (ErrorBody): also of every key that would change what is
// generated and is not known here. kNotFound: another model.
absl::StatusOr<CompletionRequest> ParseCompletion(const std::string& body, bool chat, const ServedModel& model);

}  // namespace tandem
