#include "launch/prompts.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "launch/request_file.h"
#include "policy/chat/chat_template.h"

namespace tandem {
namespace {

using Ids = std::vector<int32_t>;

absl::StatusOr<std::vector<RequestLine>> ReadLines(const PromptSource& source) {
  if (!source.file.empty()) return ReadRequests(source.file, {"text", "ids", "messages"});
  if (!source.chat) return std::vector<RequestLine>{{"--prompt", {{"text", source.text}}}};
  const nlohmann::json message = {{"role", "user"}, {"content", source.text}};
  return std::vector<RequestLine>{{"--prompt", {{"messages", nlohmann::json::array({message})}}}};
}

absl::StatusOr<std::vector<ChatMessage>> ReadMessages(const RequestLine& line) {
  const nlohmann::json& messages = line.fields["messages"];
  if (!messages.is_array()) return absl::InvalidArgumentError("\"messages\" is not a list");
  std::vector<ChatMessage> conversation;
  for (const nlohmann::json& message : messages) {
    for (const char* key : {"role", "content"}) {
      if (message.is_object() && message.contains(key) && message[key].is_string()) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("messages[", conversation.size(), "]: ", key, " is missing or not a string"));
    }
    conversation.push_back({.role = message["role"], .content = message["content"]});
  }
  return conversation;
}

class Reader {
 public:
  Reader(const ModelFolder& folder, const Tokenizer* tokenizer) : folder_(folder), tokenizer_(tokenizer) {}

  absl::StatusOr<Ids> Read(const RequestLine& line) {
    if (line.fields.size() != 1) return absl::InvalidArgumentError("expected one of text, ids and messages");
    if (line.fields.contains("ids")) return IdsOf(line.fields, folder_.shape().vocabulary);
    if (tokenizer_ == nullptr) {
      return absl::NotFoundError(
          absl::StrCat(folder_.path, "/tokenizer.json: is missing; expected a tokenizer, or ids"));
    }
    if (line.fields.contains("messages")) return OfMessages(line);
    TANDEM_ASSIGN_OR_RETURN(const std::string text, TextOf(line.fields));
    return tokenizer_->Encode(text, {.add_special_tokens = true});
  }

 private:
  absl::StatusOr<Ids> OfMessages(const RequestLine& line) {
    if (!chat_) {
      TANDEM_ASSIGN_OR_RETURN(chat_, ChatTemplate::Open(folder_.path));
    }
    TANDEM_ASSIGN_OR_RETURN(const std::vector<ChatMessage> conversation, ReadMessages(line));
    TANDEM_ASSIGN_OR_RETURN(RenderedIds rendered, chat_->RenderIds(*tokenizer_, conversation));
    return std::move(rendered.ids);
  }

  const ModelFolder& folder_;
  const Tokenizer* const tokenizer_;
  std::optional<ChatTemplate> chat_;  // read when it is first asked for
};

}  // namespace

absl::StatusOr<std::vector<Ids>> ReadPrompts(const PromptSource& source, const ModelFolder& folder,
                                             const Tokenizer* tokenizer) {
  TANDEM_ASSIGN_OR_RETURN(const std::vector<RequestLine> lines, ReadLines(source));
  Reader reader(folder, tokenizer);
  std::vector<Ids> prompts;
  for (const RequestLine& line : lines) {
    TANDEM_ASSIGN_OR_RETURN(Ids ids, AtLine(line, reader.Read(line)));
    const auto size = static_cast<int64_t>(ids.size()), context = folder.shape().context;
    if (size < 1 || size >= context) {
      return RequestError(line, absl::StrCat("a prompt of ", size, " tokens, expected 1 to ", context - 1,
                                             " (max_position_embeddings of ", folder.path, "/config.json)"));
    }
    prompts.push_back(std::move(ids));
  }
  return prompts;
}

}  // namespace tandem
