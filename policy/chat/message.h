// One message of a conversation.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tandem {

struct Message {
  std::string role = {};     // "system", "user" or "assistant"
  std::string content = {};  // UTF-8
  // Qwen3, of an assistant: what it thought, apart from what it said. When it is not given, content may hold both:
  // "<think>\n...\n</think>\n\nanswer".
  std::optional<std::string> reasoning_content = {};
  // Of an assistant, for ChatTemplate::RenderIds: what the model generated as this turn, with its end when it wrote
  // one. Then content must be empty (it is the text of these), and there is no reasoning_content.
  std::vector<int32_t> ids = {};
};

}  // namespace tandem
