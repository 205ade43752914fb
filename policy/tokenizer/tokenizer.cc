#include "policy/tokenizer/tokenizer.h"

#include "absl/strings/str_cat.h"
#include "policy/tokenizer/utf8.h"

namespace tandem {
namespace {

constexpr size_t kLongestText = 1 << 30;  // ICU counts bytes in 31 bits

}  // namespace

absl::StatusOr<std::vector<int32_t>> Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  if (text.size() > kLongestText) {
    return absl::InvalidArgumentError(
        absl::StrCat("text: has ", text.size(), " bytes; expected at most ", kLongestText));
  }
  const size_t bad = FirstInvalidUtf8(text);
  if (bad != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "text: byte ", bad, " (0x", absl::Hex(static_cast<uint8_t>(text[bad]), absl::kZeroPad2), ") is not UTF-8"));
  }
  return EncodeUtf8(text, options);
}

std::string Tokenizer::Decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  std::string text;
  for (const int32_t id : ids) {
    if (options.keep_special_tokens || !Special(id)) text += Bytes(id);
  }
  return text;
}

}  // namespace tandem
