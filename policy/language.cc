#include "policy/language.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/tokenizer/open_tokenizer.h"

namespace tandem {

std::unique_ptr<Language> Language::OfCharacters(CharacterTokenizer tokenizer) {
  std::unique_ptr<Language> language(new Language);
  language->tokenizer_ = std::make_unique<CharacterTokenizer>(std::move(tokenizer));
  language->end_ids_ = {CharacterTokenizer::kEnd};
  return language;
}

absl::StatusOr<std::unique_ptr<Language>> Language::OfFolder(const std::string& folder, std::vector<int32_t> eos_ids,
                                                             std::string system) {
  std::unique_ptr<Language> language(new Language);
  TANDEM_ASSIGN_OR_RETURN(language->tokenizer_, OpenTokenizer(folder));
  absl::StatusOr<ChatTemplate> chat = ChatTemplate::Open(folder);
  if (chat.ok()) {
    const auto end = language->tokenizer_->TokenId(chat->end_of_turn());
    if (!end) {
      return absl::InvalidArgumentError(absl::StrCat(folder, "/tokenizer.json: has no token ",
                                                     std::string(chat->end_of_turn()),
                                                     ", with which the chat template ends a turn"));
    }
    language->chat_ = *std::move(chat);
    language->end_ids_ = {*end};
  } else if (!absl::IsNotFound(chat.status())) {
    return chat.status();
  } else {
    if (!system.empty()) return Annotate(chat.status(), "a system prompt needs a chat template");
    language->end_ids_ = {language->tokenizer_->end_id()};
  }
  for (const int32_t id : eos_ids) {
    if (!language->Ends(id)) language->end_ids_.push_back(id);
  }
  language->system_ = std::move(system);
  return language;
}

bool Language::Ends(int32_t id) const { return std::find(end_ids_.begin(), end_ids_.end(), id) != end_ids_.end(); }

absl::StatusOr<std::vector<int32_t>> Language::Prompt(std::string_view text) const {
  if (!chat_) return tokenizer_->Encode(text, {.add_special_tokens = true, .special_tokens_as_text = true});
  std::vector<ChatMessage> messages;
  if (!system_.empty()) messages.push_back({.role = "system", .content = system_});
  messages.push_back({.role = "user", .content = std::string(text)});
  TANDEM_ASSIGN_OR_RETURN(RenderedIds rendered, chat_->RenderIds(*tokenizer_, messages, {.enable_thinking = false}));
  return std::move(rendered.ids);
}

absl::StatusOr<std::vector<int32_t>> Language::Turn(std::string_view text) const {
  TANDEM_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer_->Encode(text, {.special_tokens_as_text = true}));
  ids.push_back(end_ids_.front());
  return ids;
}

}  // namespace tandem
