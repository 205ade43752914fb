// A conversation as a family's template writes it, still in parts.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "policy/chat/chat_template.h"

namespace tandem {

// All texts one after the other: head, the three of each message, tail.
struct ChatRendering {
  struct Turn {
    std::string before, body, after;           // the body is what the template made of the content
    TurnFate if_changed = TurnFate::kTrimmed;  // what to call it when the body is not what the model generated
  };
  std::string head;
  std::vector<Turn> turns;  // one for each message
  std::string tail;
};

// Qwen3's block for an answer without thought.
inline constexpr std::string_view kEmptyThought = "<think>\n\n</think>\n\n";

// kInvalidArgument: "messages[index]: what".
absl::Status BadMessage(size_t index, std::string_view what);

// The messages have known roles, and there is at least one.
ChatRendering RenderQwen2(std::span<const Message> messages, const ChatOptions& options,
                          const std::string& default_system);
ChatRendering RenderQwen3(std::span<const Message> messages, const ChatOptions& options);
ChatRendering RenderQwen3Instruct(std::span<const Message> messages, const ChatOptions& options);
ChatRendering RenderLlama3(std::span<const Message> messages, const ChatOptions& options, const std::string& bos_token);
ChatRendering RenderLlama31(std::span<const Message> messages, const ChatOptions& options,
                            const std::string& bos_token);

}  // namespace tandem
