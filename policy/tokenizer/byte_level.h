// The alphabet in which byte-level vocabularies are spelled: one character for each byte, so that a token that is no
// UTF-8, or a space, can stand in a JSON file ("Ġthe"). GPT-2's bytes_to_unicode.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tandem {

// UTF-8 of the character of a byte.
std::string SpellingOfByte(uint8_t byte);

// The bytes that a spelling in UTF-8 stands for; nullopt when a character is not of the alphabet.
std::optional<std::string> BytesOfSpelling(std::string_view spelling);

}  // namespace tandem
