// How a model's family writes a conversation down, as the Jinja template does that comes with the model.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/chat/message.h"
#include "policy/tokenizer/tokenizer.h"

namespace tandem {

struct ChatRendering;

enum class ChatFamily {
  kQwen2,          // Qwen2, Qwen2.5: ChatML, with a system prompt of the template's own when there is none
  kQwen3,          // ChatML with reasoning
  kQwen3Instruct,  // Qwen3 Instruct 2507: plain ChatML
  kLlama3,
  kLlama31,  // Llama 3.1, 3.2, 3.3: with dates in the system prompt
};

struct ChatOptions {
  bool add_generation_prompt = true;  // ends with the beginning of the assistant's next turn
  // Qwen3; false: the assistant's next turn begins with an empty <think> block.
  bool enable_thinking = true;
  // Llama 3.1 and later: "Today Date". The default is the one that the templates have of their own; transformers gives
  // Llama 3.2 the day it runs on.
  std::string date = "26 Jul 2024";
};

// What became of the ids that a model generated as a turn, in a later rendering of the conversation.
enum class TurnFate {
  kNoIds,           // the message had none: its text was tokenized
  kKept,            // they are there, one after the other, after the same text as when they were generated
  kContextChanged,  // they are there, but the template has another beginning of the turn than when they were generated
                    // (Qwen3 without thinking: the empty <think> block is not repeated for earlier turns)
  kTrimmed,         // the template takes whitespace off the ends: the trimmed text was tokenized anew
  kReasoningDropped,   // Qwen3 leaves the reasoning of earlier turns out: what remains was tokenized anew
  kReasoningReformed,  // Qwen3 writes reasoning and answer with other newlines: tokenized anew
};
std::string_view TurnFateName(TurnFate fate);  // "kept", "context_changed", ...

struct RenderedTurn {
  TurnFate fate = TurnFate::kNoIds;
  // The model did not end its turn (it was cut off), and the template has: the end is not part of [begin, end).
  bool end_added = false;
  size_t begin = 0, end = 0;  // where the message's ids stand, for kKept and kContextChanged
};

struct RenderedIds {
  std::vector<int32_t> ids;
  std::vector<RenderedTurn> turns;  // one for each message
  // True when no turn with ids was rewritten or lost its context. The ids of the next prompt then begin with those of
  // this one followed by what is generated, as the conversation goes on.
  bool kept_all() const;
};

// Immutable.
class ChatTemplate {
 public:
  // Of a model's `folder`: the template in chat_template.jinja, or else in tokenizer_config.json, which also names the
  // token that begins a text. Errors name the file; kNotFound: no tokenizer_config.json, or no template in the folder;
  // kPermissionDenied; kInvalidArgument: see Recognise.
  static absl::StatusOr<ChatTemplate> Open(const std::string& folder);

  // kInvalidArgument: a template that renders conversations without tools otherwise than the families above; `place`
  // goes in front. Spelling (whitespace, quotes, what is done with tools) does not matter.
  static absl::StatusOr<ChatTemplate> Recognise(std::string_view jinja, std::string bos_token, std::string_view place);

  ChatFamily family() const { return family_; }
  // The name of the token with which the template ends a turn: "<|im_end|>", "<|eot_id|>".
  std::string_view end_of_turn() const;

  // What transformers' apply_chat_template gives, as text. kInvalidArgument names the message: no messages at all,
  // another role (tools are not supported), reasoning_content that the family does not know.
  absl::StatusOr<std::string> Render(std::span<const ChatMessage> messages, const ChatOptions& options = {}) const;

  // The same as token ids. Where the template writes a turn down as the model generated it, these are the very ids of
  // ChatMessage::ids, not those of its text; all else is tokenized between them. Errors also: as Tokenizer::Encode's; a
  // message with ids that is not an assistant's, or has content as well; a tokenizer without end_of_turn().
  absl::StatusOr<RenderedIds> RenderIds(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                                        const ChatOptions& options = {}) const;

 private:
  ChatTemplate(ChatFamily family, std::string bos_token, std::string default_system)
      : family_(family), bos_token_(std::move(bos_token)), default_system_(std::move(default_system)) {}

  absl::StatusOr<ChatRendering> RenderParts(std::span<const ChatMessage> messages, const ChatOptions& options) const;

  ChatFamily family_;
  std::string bos_token_;       // Llama
  std::string default_system_;  // Qwen2
};

}  // namespace tandem
