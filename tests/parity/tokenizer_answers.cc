// Answers questions about tokenizers, for comparison with Hugging Face's: one JSON object a line, in and out.
//   {"open": FOLDER}                                      -> {"vocabulary": N}: the questions that follow are about it
//   {"characters": ALPHABET}                              -> {"json": T}: likewise, a tokenizer of characters
//   {"text": T, "add_special_tokens": B, "special_tokens_as_text": B} -> {"ids": [...]}
//   {"ids": [...], "keep_special_tokens": B}              -> {"text": T, "streamed": T}
//   {"split": T, "pattern": P}                            -> {"parts": [...]}
//   {"messages": [...], "add_generation_prompt": B, "enable_thinking": B, "date": T} -> {"text": T, "ids": [...]}:
//                                                            with the folder's chat_template.jinja
// An error is {"error": TEXT}.
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "policy/chat/chat_template.h"
#include "policy/tokenizer/character_tokenizer.h"
#include "policy/tokenizer/open_tokenizer.h"
#include "policy/tokenizer/split_pattern.h"
#include "policy/tokenizer/stream_decoder.h"
#include "policy/tokenizer/utf8.h"

namespace {

using nlohmann::json;
using namespace tandem;

class Answers {
 public:
  absl::StatusOr<json> Answer(const json& question) {
    if (question.contains("open")) return Open(question["open"]);
    if (question.contains("characters")) return Characters(question["characters"]);
    if (question.contains("split")) return Split(question);
    if (tokenizer_ == nullptr) return absl::FailedPreconditionError("no tokenizer is open");
    if (question.contains("ids")) return Decode(question);
    if (question.contains("messages")) return Chat(question);
    TANDEM_ASSIGN_OR_RETURN(
        const auto ids,
        tokenizer_->Encode(question["text"].get_ref<const std::string&>(),
                           {.add_special_tokens = question.value("add_special_tokens", false),
                            .special_tokens_as_text = question.value("special_tokens_as_text", false)}));
    return json{{"ids", ids}};
  }

 private:
  absl::StatusOr<json> Open(const std::string& folder) {
    TANDEM_ASSIGN_OR_RETURN(tokenizer_, OpenTokenizer(folder));
    if (std::filesystem::exists(folder + "/chat_template.jinja")) {
      TANDEM_ASSIGN_OR_RETURN(chat_, ChatTemplate::Open(folder));
    }
    return json{{"vocabulary", tokenizer_->vocabulary()}};
  }

  absl::StatusOr<json> Characters(const std::string& alphabet) {
    TANDEM_ASSIGN_OR_RETURN(CharacterTokenizer characters, CharacterTokenizer::Create(alphabet));
    const json answer = {{"json", characters.Json()}};
    tokenizer_ = std::make_unique<CharacterTokenizer>(std::move(characters));
    return answer;
  }

  absl::StatusOr<json> Decode(const json& question) {
    const std::vector<int32_t> ids = question["ids"];
    const DecodeOptions options{.keep_special_tokens = question.value("keep_special_tokens", false)};
    StreamDecoder stream(*tokenizer_, options);
    std::string streamed;
    for (const int32_t id : ids) streamed += stream.Push(id);
    streamed += stream.Finish();
    return json{{"text", Utf8Lossy(tokenizer_->Decode(ids, options))}, {"streamed", streamed}};
  }

  absl::StatusOr<json> Chat(const json& question) {
    if (!chat_) return absl::FailedPreconditionError("no chat template is open");
    std::vector<ChatMessage> messages;
    for (const json& message : question["messages"]) {
      messages.push_back({.role = message["role"], .content = message["content"]});
      if (message.contains("reasoning_content")) messages.back().reasoning_content = message["reasoning_content"];
    }
    const ChatOptions options{.add_generation_prompt = question["add_generation_prompt"],
                              .enable_thinking = question.value("enable_thinking", true),
                              .date = question["date"]};
    TANDEM_ASSIGN_OR_RETURN(const std::string text, chat_->Render(messages, options));
    TANDEM_ASSIGN_OR_RETURN(const RenderedIds rendered, chat_->RenderIds(*tokenizer_, messages, options));
    return json{{"text", text}, {"ids", rendered.ids}};
  }

  absl::StatusOr<json> Split(const json& question) {
    const std::string pattern = question["pattern"];
    if (pattern != pattern_) {
      TANDEM_ASSIGN_OR_RETURN(split_, SplitPattern::Compile(pattern, "pattern"));
      pattern_ = pattern;
    }
    const std::string text = question["split"];
    std::vector<std::string> parts;
    TANDEM_RETURN_IF_ERROR(split_->Divide(text, scratch_, [&](std::string_view part) {
      parts.emplace_back(part);
      return absl::OkStatus();
    }));
    return json{{"parts", parts}};
  }

  std::string pattern_;  // of split_
  std::optional<SplitPattern> split_;
  SplitPattern::Scratch scratch_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_;
};

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  Answers answers;
  for (std::string line; std::getline(std::cin, line);) {
    const absl::StatusOr<json> answer = answers.Answer(json::parse(line));
    std::cout << (answer.ok() ? *answer : json{{"error", std::string(answer.status().message())}}) << "\n";
  }
}
