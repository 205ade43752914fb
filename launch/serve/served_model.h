// The model that `tandem serve` answers for: what of it does not change while it is served.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "policy/chat/chat_template.h"
#include "policy/files/model_folder.h"
#include "policy/tokenizer/tokenizer.h"

namespace tandem {

// Immutable, and so safe for many threads.
struct ServedModel {
  std::string name;
  int64_t created = 0;  // Unix time
  ModelFolder folder;
  std::unique_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat;  // where the folder has one
};

}  // namespace tandem
