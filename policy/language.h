// How a policy reads and writes: its tokenizer and, where it has one, its chat template.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/chat/chat_template.h"
#include "policy/tokenizer/character_tokenizer.h"
#include "policy/tokenizer/tokenizer.h"

namespace tandem {

// Immutable.
class Language {
 public:
  // Characters, and plain prompts.
  static std::unique_ptr<Language> OfCharacters(CharacterTokenizer tokenizer);
  // Of a model folder. With a chat template a prompt is what a user says, after `system` as the system prompt ("":
  // the template's own). `eos_ids`: of the folder's configuration; each of them, and the template's end of a turn,
  // ends a turn. Errors name the file.
  static absl::StatusOr<std::unique_ptr<Language>> OfFolder(const std::string& folder, std::vector<int32_t> eos_ids,
                                                            std::string system);

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const std::vector<int32_t>& end_ids() const { return end_ids_; }  // each ends a turn
  bool Ends(int32_t id) const;

  // What the model reads when a role is asked `text`. Errors as Tokenizer::Encode's.
  absl::StatusOr<std::vector<int32_t>> Prompt(std::string_view text) const;
  // `text` as a turn that the model might have written, its end included.
  absl::StatusOr<std::vector<int32_t>> Turn(std::string_view text) const;

 private:
  Language() = default;
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_;
  std::string system_;
  std::vector<int32_t> end_ids_;  // the first is the one that Turn writes
};

}  // namespace tandem
