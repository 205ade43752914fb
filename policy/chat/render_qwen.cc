#include "absl/strings/str_cat.h"
#include "policy/chat/chat_rendering.h"

namespace tandem {
namespace {

std::string Beginning(const std::string& role) { return absl::StrCat("<|im_start|>", role, "\n"); }
constexpr const char* kEnd = "<|im_end|>\n";

// Every message as it is.
ChatRendering PlainChatMl(std::span<const Message> messages, const ChatOptions& options) {
  ChatRendering rendering;
  for (const Message& message : messages) {
    rendering.turns.push_back({Beginning(message.role), message.content, kEnd});
  }
  if (options.add_generation_prompt) rendering.tail = Beginning("assistant");
  return rendering;
}

std::string_view StripNewlines(std::string_view text, bool left, bool right) {
  while (left && text.starts_with('\n')) text.remove_prefix(1);
  while (right && text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

// The message that asked for what the last turns answer: the last of a user that is not a tool's response.
size_t LastQuery(std::span<const Message> messages) {
  for (size_t i = messages.size(); i-- > 0;) {
    const std::string& content = messages[i].content;
    if (messages[i].role == "user" &&
        !(content.starts_with("<tool_response>") && content.ends_with("</tool_response>"))) {
      return i;
    }
  }
  return messages.size() - 1;
}

// Reasoning and answer of a content that holds both; the template keeps what stands between the last tags only.
void TakeApart(std::string_view& reasoning, std::string_view& content) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  const size_t first = content.find(kClose);
  if (first == std::string_view::npos) return;
  reasoning = StripNewlines(content.substr(0, first), /*left=*/false, /*right=*/true);
  if (const size_t open = reasoning.rfind(kOpen); open != std::string_view::npos) {
    reasoning.remove_prefix(open + kOpen.size());
  }
  reasoning = StripNewlines(reasoning, /*left=*/true, /*right=*/false);
  content = StripNewlines(content.substr(content.rfind(kClose) + kClose.size()), /*left=*/true, /*right=*/false);
}

// An assistant's turn; `recent`: nobody has asked anything since.
ChatRendering::Turn Qwen3Turn(const Message& message, bool recent, bool last) {
  std::string_view content = message.content, reasoning;
  if (message.reasoning_content) {
    reasoning = *message.reasoning_content;
  } else {
    TakeApart(reasoning, content);
  }
  ChatRendering::Turn turn{Beginning(message.role), std::string(content), kEnd, TurnFate::kReasoningDropped};
  if (!recent || !(last || !reasoning.empty())) return turn;
  turn.if_changed = TurnFate::kReasoningReformed;
  turn.body = absl::StrCat("<think>\n", std::string(StripNewlines(reasoning, true, true)), "\n</think>\n\n",
                           std::string(StripNewlines(content, /*left=*/true, /*right=*/false)));
  return turn;
}

}  // namespace

ChatRendering RenderQwen2(std::span<const Message> messages, const ChatOptions& options,
                          const std::string& default_system) {
  ChatRendering rendering = PlainChatMl(messages, options);
  if (messages[0].role != "system") rendering.head = absl::StrCat(Beginning("system"), default_system, kEnd);
  return rendering;
}

ChatRendering RenderQwen3Instruct(std::span<const Message> messages, const ChatOptions& options) {
  return PlainChatMl(messages, options);
}

ChatRendering RenderQwen3(std::span<const Message> messages, const ChatOptions& options) {
  ChatRendering rendering = PlainChatMl(messages, options);
  const size_t query = LastQuery(messages);
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role != "assistant") continue;
    rendering.turns[i] = Qwen3Turn(messages[i], /*recent=*/i > query, /*last=*/i + 1 == messages.size());
  }
  if (options.add_generation_prompt && !options.enable_thinking) rendering.tail += kEmptyThought;
  return rendering;
}

}  // namespace tandem
