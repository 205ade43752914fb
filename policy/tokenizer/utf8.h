// Where bytes are UTF-8 and where they are not.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tandem {

// What some bytes begin with.
struct Utf8Start {
  enum Kind {
    kCharacter,  // a whole character (no surrogate, nothing overlong, at most U+10FFFF)
    kInvalid,    // what can begin no character, whatever follows: the longest such part that U+FFFD replaces
    kCut,        // all that is there could begin a character, which ends beyond
  };
  Kind kind;
  size_t size;  // in bytes; at least 1
};
Utf8Start StartOfUtf8(std::string_view bytes);  // of at least one byte

// The offset of the first byte that is not UTF-8, or npos.
size_t FirstInvalidUtf8(std::string_view text);

// With U+FFFD for each part that is not UTF-8, divided as Unicode recommends and Rust's from_utf8_lossy does.
std::string Utf8Lossy(std::string_view bytes);

}  // namespace tandem
