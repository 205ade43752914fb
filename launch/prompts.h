// What a model is asked to go on with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/files/model_folder.h"
#include "policy/tokenizer/tokenizer.h"

namespace tandem {

struct PromptSource {
  std::string text;   // one prompt,
  bool chat = false;  // which is what a user says
  std::string file;   // or a file of JSON lines with text, ids or messages; "-" is standard input
};

// Token ids of each prompt. Text gets what the tokenizer puts around it; messages go through the folder's chat
// template. kInvalidArgument names file and line: what cannot be read or encoded, and prompts that leave no room in the
// context; kNotFound: text, and the folder has no tokenizer (nullptr).
absl::StatusOr<std::vector<std::vector<int32_t>>> ReadPrompts(const PromptSource& source, const ModelFolder& folder,
                                                              const Tokenizer* tokenizer);

}  // namespace tandem
