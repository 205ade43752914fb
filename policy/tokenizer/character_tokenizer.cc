#include "policy/tokenizer/character_tokenizer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

std::string Shown(unsigned char c) {
  if (c >= ' ' && c <= '~') return absl::StrCat("'", std::string(1, static_cast<char>(c)), "'");
  return absl::StrCat("byte 0x", absl::Hex(c, absl::kZeroPad2));
}

}  // namespace

absl::StatusOr<CharacterTokenizer> CharacterTokenizer::Create(std::string_view alphabet) {
  if (alphabet.empty()) return absl::InvalidArgumentError("alphabet: empty; expected at least one character");
  CharacterTokenizer tokenizer;
  tokenizer.characters_ = std::string(alphabet);
  std::string& characters = tokenizer.characters_;
  std::sort(characters.begin(), characters.end(),
            [](char a, char b) { return static_cast<unsigned char>(a) < static_cast<unsigned char>(b); });
  characters.erase(std::unique(characters.begin(), characters.end()), characters.end());
  std::fill(std::begin(tokenizer.ids_), std::end(tokenizer.ids_), -1);
  for (size_t i = 0; i < characters.size(); ++i) {
    const auto c = static_cast<unsigned char>(characters[i]);
    if (c < ' ' || c > '~') {
      return absl::InvalidArgumentError(absl::StrCat("alphabet: ", Shown(c), " is not printable ASCII"));
    }
    tokenizer.ids_[c] = static_cast<int32_t>(i) + 1;
  }
  return tokenizer;
}

std::optional<int32_t> CharacterTokenizer::TokenId(std::string_view name) const {
  if (name == kEndName) return kEnd;
  if (name.size() != 1 || ids_[static_cast<unsigned char>(name[0])] < 0) return std::nullopt;
  return ids_[static_cast<unsigned char>(name[0])];
}

std::string_view CharacterTokenizer::Bytes(int32_t id) const {
  if (id == kEnd) return kEndName;
  if (id < 0 || id >= vocabulary()) return {};
  return std::string_view(characters_).substr(static_cast<size_t>(id) - 1, 1);
}

char CharacterTokenizer::Character(int32_t id) const {
  TANDEM_CHECK(id >= 0 && id < vocabulary());
  return id == kEnd ? '\0' : characters_[static_cast<size_t>(id) - 1];
}

absl::StatusOr<std::vector<int32_t>> CharacterTokenizer::EncodeUtf8(std::string_view text, const EncodeOptions&) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size());
  for (const char c : text) {
    const int32_t id = ids_[static_cast<unsigned char>(c)];
    if (id < 0) {
      return absl::InvalidArgumentError(absl::StrCat("'", std::string(text), "': the alphabet has no ",
                                                     Shown(static_cast<unsigned char>(c)), "; it is '", characters_,
                                                     "'"));
    }
    ids.push_back(id);
  }
  return ids;
}

}  // namespace tandem
