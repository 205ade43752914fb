#include "policy/chat/chat_template.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/chat/chat_rendering.h"

namespace tandem {

absl::Status BadMessage(size_t index, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("messages[", index, "]: ", std::string(what)));
}

namespace {

absl::Status CheckMessages(std::span<const Message> messages, ChatFamily family) {
  if (messages.empty()) return absl::InvalidArgumentError("messages: none; expected at least one");
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    if (message.role != "system" && message.role != "user" && message.role != "assistant") {
      return BadMessage(
          i, absl::StrCat("role: '", message.role, "'; expected system, user or assistant (tools are not supported)"));
    }
    if (message.reasoning_content && (message.role != "assistant" || family != ChatFamily::kQwen3)) {
      return BadMessage(i, "reasoning_content: expected only of an assistant, with the template of Qwen3");
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view TurnFateName(TurnFate fate) {
  switch (fate) {
    case TurnFate::kNoIds:
      return "no_ids";
    case TurnFate::kKept:
      return "kept";
    case TurnFate::kContextChanged:
      return "context_changed";
    case TurnFate::kTrimmed:
      return "trimmed";
    case TurnFate::kReasoningDropped:
      return "reasoning_dropped";
    case TurnFate::kReasoningReformed:
      return "reasoning_reformed";
  }
  TANDEM_CHECK(false);
}

std::string_view ChatTemplate::end_of_turn() const {
  return family_ == ChatFamily::kLlama3 || family_ == ChatFamily::kLlama31 ? "<|eot_id|>" : "<|im_end|>";
}

absl::StatusOr<ChatRendering> ChatTemplate::RenderParts(std::span<const Message> messages,
                                                        const ChatOptions& options) const {
  TANDEM_RETURN_IF_ERROR(CheckMessages(messages, family_));
  switch (family_) {
    case ChatFamily::kQwen2:
      return RenderQwen2(messages, options, default_system_);
    case ChatFamily::kQwen3:
      return RenderQwen3(messages, options);
    case ChatFamily::kQwen3Instruct:
      return RenderQwen3Instruct(messages, options);
    case ChatFamily::kLlama3:
      return RenderLlama3(messages, options, bos_token_);
    case ChatFamily::kLlama31:
      return RenderLlama31(messages, options, bos_token_);
  }
  TANDEM_CHECK(false);
}

absl::StatusOr<std::string> ChatTemplate::Render(std::span<const Message> messages, const ChatOptions& options) const {
  TANDEM_ASSIGN_OR_RETURN(const ChatRendering rendering, RenderParts(messages, options));
  std::string text = rendering.head;
  for (const ChatRendering::Turn& turn : rendering.turns) absl::StrAppend(&text, turn.before, turn.body, turn.after);
  return text + rendering.tail;
}

}  // namespace tandem
