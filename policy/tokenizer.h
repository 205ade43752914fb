// Text to token ids and back, by character.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem {

// Id 0 is the end of a turn; the characters of the alphabet follow in the order of their code. Immutable.
class CharacterTokenizer {
 public:
  // Repeated characters count once. kInvalidArgument: an empty alphabet, or a byte that is not printable ASCII.
  static absl::StatusOr<CharacterTokenizer> Create(std::string_view alphabet);

  int64_t vocabulary() const { return static_cast<int64_t>(characters_.size()) + 1; }
  static constexpr int32_t kEnd = 0;

  // kInvalidArgument names the character that the alphabet lacks.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text) const;
  // kEnd is left out; an id out of range is a bug.
  std::string Decode(const std::vector<int32_t>& ids) const;
  // The character of an id; kEnd is '\0'.
  char Character(int32_t id) const;

 private:
  std::string characters_;
  int32_t ids_[256];
};

}  // namespace tandem
