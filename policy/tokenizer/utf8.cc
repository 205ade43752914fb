#include "policy/tokenizer/utf8.h"

#include <cstdint>
#include <cstring>

namespace tandem {
namespace {

// The bytes of a character whose first is `lead`, and the range of the second (Unicode, table 3-7).
struct Utf8Lead {
  size_t size;
  uint8_t second_low = 0x80, second_high = 0xBF;
};

Utf8Lead LeadOf(uint8_t lead) {
  if (lead < 0x80) return {1};
  if (lead < 0xC2) return {0};
  if (lead < 0xE0) return {2};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead < 0xF0) return {3};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead < 0xF4) return {4};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

}  // namespace

Utf8Start StartOfUtf8(std::string_view bytes) {
  const Utf8Lead lead = LeadOf(static_cast<uint8_t>(bytes[0]));
  if (lead.size == 0) return {Utf8Start::kInvalid, 1};
  for (size_t i = 1; i < lead.size; ++i) {
    if (i == bytes.size()) return {Utf8Start::kCut, i};
    const auto byte = static_cast<uint8_t>(bytes[i]);
    const bool fits = i == 1 ? byte >= lead.second_low && byte <= lead.second_high : (byte & 0xC0) == 0x80;
    if (!fits) return {Utf8Start::kInvalid, i};
  }
  return {Utf8Start::kCharacter, lead.size};
}

size_t FirstInvalidUtf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    // Eight bytes of ASCII at once: most texts are little else.
    uint64_t eight;
    if (at + sizeof eight <= text.size()) {
      std::memcpy(&eight, text.data() + at, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        at += sizeof eight;
        continue;
      }
    }
    const Utf8Start start = StartOfUtf8(text.substr(at, 4));
    if (start.kind != Utf8Start::kCharacter) return at;
    at += start.size;
  }
  return std::string_view::npos;
}

std::string Utf8Lossy(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Start start = StartOfUtf8(bytes.substr(at));
    text += start.kind == Utf8Start::kCharacter ? bytes.substr(at, start.size) : "\xEF\xBF\xBD";
    at += start.size;
  }
  return text;
}

}  // namespace tandem
