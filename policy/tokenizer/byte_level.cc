#include "policy/tokenizer/byte_level.h"

#include <array>

namespace tandem {
namespace {

// Bytes that Latin-1 shows stand for themselves; the others get the code points from 256 on, in their order.
bool Shows(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct ByteAlphabet {
  std::array<uint16_t, 256> code_points;
  std::array<int16_t, 512> bytes;  // by code point; -1: none
};

const ByteAlphabet kAlphabet = [] {
  ByteAlphabet alphabet;
  alphabet.bytes.fill(-1);
  uint16_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const uint16_t code_point = Shows(byte) ? static_cast<uint16_t>(byte) : next++;
    alphabet.code_points[byte] = code_point;
    alphabet.bytes[code_point] = static_cast<int16_t>(byte);
  }
  return alphabet;
}();

}  // namespace

std::string SpellingOfByte(uint8_t byte) {
  const uint16_t code_point = kAlphabet.code_points[byte];
  if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
  return {static_cast<char>(0xC0 | (code_point >> 6)), static_cast<char>(0x80 | (code_point & 0x3F))};
}

std::optional<std::string> BytesOfSpelling(std::string_view spelling) {
  std::string bytes;
  bytes.reserve(spelling.size());
  for (size_t at = 0; at < spelling.size(); ++at) {
    unsigned code_point = static_cast<uint8_t>(spelling[at]);
    if (code_point >= 0x80) {  // all of the alphabet has at most two bytes of UTF-8
      if (code_point < 0xC2 || code_point > 0xDF || at + 1 == spelling.size()) return std::nullopt;
      code_point = (code_point & 0x1F) << 6 | (static_cast<uint8_t>(spelling[++at]) & 0x3F);
    }
    if (code_point >= kAlphabet.bytes.size() || kAlphabet.bytes[code_point] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kAlphabet.bytes[code_point]));
  }
  return bytes;
}

}  // namespace tandem
