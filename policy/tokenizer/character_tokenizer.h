// Text to token ids and back, by character.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "policy/tokenizer/tokenizer.h"

namespace tandem {

// Id 0 is the end of a turn; the characters of the alphabet follow in the order of their code. Immutable.
class CharacterTokenizer final : public Tokenizer {
 public:
  // Repeated characters count once. kInvalidArgument: an empty alphabet, or a byte that is not printable ASCII.
  static absl::StatusOr<CharacterTokenizer> Create(std::string_view alphabet);
  // One whose tokenizer.json was written by Json(). kInvalidArgument names the file and what is not as Json() has it.
  static absl::StatusOr<CharacterTokenizer> Load(const std::string& path);

  static constexpr int32_t kEnd = 0;
  // Not printable ASCII, so that no text that Encode takes could be read as kEnd by another tokenizer.
  static constexpr std::string_view kEndName = "⟨end⟩";

  int64_t vocabulary() const override { return static_cast<int64_t>(characters_.size()) + 1; }
  int32_t end_id() const override { return kEnd; }
  std::optional<int32_t> TokenId(std::string_view name) const override;
  bool Special(int32_t id) const override { return id == kEnd; }
  std::string_view Bytes(int32_t id) const override;

  // The character of an id; kEnd is '\0'. An id out of range is a bug.
  char Character(int32_t id) const;
  // In the order of their ids, the first of which is 1.
  const std::string& characters() const { return characters_; }

  // A tokenizer.json with which Hugging Face's `tokenizers` gives the same ids, and the same text for them.
  std::string Json() const;

 private:
  // kInvalidArgument names the character that the alphabet lacks.
  absl::StatusOr<std::vector<int32_t>> EncodeUtf8(std::string_view text, const EncodeOptions& options) const override;

  std::string characters_;
  int32_t ids_[256];
};

}  // namespace tandem
