#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include "absl/strings/str_cat.h"
#include "policy/chat/chat_rendering.h"

namespace tandem {
namespace {

// What Python's str.strip() takes away.
bool PythonSpace(UChar32 c) { return u_hasBinaryProperty(c, UCHAR_WHITE_SPACE) || (c >= 0x1C && c <= 0x1F); }

std::string Trimmed(std::string_view text) {
  auto begin = 0, end = static_cast<int32_t>(text.size());
  UChar32 c = 0;
  for (int32_t next = begin; next < end; begin = next) {
    U8_NEXT(text.data(), next, end, c);
    if (!PythonSpace(c)) break;
  }
  for (int32_t next = end; next > begin; end = next) {
    U8_PREV(text.data(), begin, next, c);
    if (!PythonSpace(c)) break;
  }
  return std::string(text.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
}

std::string Header(const std::string& role) {
  return absl::StrCat("<|start_header_id|>", role, "<|end_header_id|>\n\n");
}
constexpr const char* kEndOfTurn = "<|eot_id|>";

}  // namespace

ChatRendering RenderLlama3(std::span<const Message> messages, const ChatOptions& options,
                           const std::string& bos_token) {
  ChatRendering rendering;
  rendering.head = bos_token;
  for (const Message& message : messages) {
    rendering.turns.push_back({Header(message.role), Trimmed(message.content), kEndOfTurn, TurnFate::kTrimmed});
  }
  if (options.add_generation_prompt) rendering.tail = Header("assistant");
  return rendering;
}

ChatRendering RenderLlama31(std::span<const Message> messages, const ChatOptions& options,
                            const std::string& bos_token) {
  ChatRendering rendering = RenderLlama3(messages, options, bos_token);
  const std::string system =
      absl::StrCat(Header("system"), "Cutting Knowledge Date: December 2023\nToday Date: ", options.date, "\n\n");
  if (messages[0].role == "system") {
    rendering.turns[0].before = system;
  } else {
    absl::StrAppend(&rendering.head, system, kEndOfTurn);
  }
  return rendering;
}

}  // namespace tandem
