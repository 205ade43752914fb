#include "policy/tokenizer/stream_decoder.h"

#include <utility>

#include "policy/tokenizer/utf8.h"

namespace tandem {

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, DecodeOptions options)
    : tokenizer_(tokenizer), options_(options) {}

std::string StreamDecoder::Push(int32_t id) {
  if (!options_.keep_special_tokens && tokenizer_.Special(id)) return "";
  rest_ += tokenizer_.Bytes(id);
  // At most the last three bytes can be the beginning of a character.
  size_t whole = rest_.size();
  for (size_t back = 1; back <= 3 && back <= rest_.size(); ++back) {
    const size_t at = rest_.size() - back;
    if ((rest_[at] & 0xC0) == 0x80) continue;
    const Utf8Start start = StartOfUtf8(std::string_view(rest_).substr(at));
    if (start.kind == Utf8Start::kCut) whole = at;
    break;
  }
  const std::string rest = rest_.substr(whole);
  rest_.resize(whole);
  return Utf8Lossy(std::exchange(rest_, rest));
}

std::string StreamDecoder::Finish() { return Utf8Lossy(std::exchange(rest_, "")); }

}  // namespace tandem
