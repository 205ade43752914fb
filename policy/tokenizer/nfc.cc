#include "policy/tokenizer/nfc.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>

#include <algorithm>

#include "base/status.h"

namespace tandem {
namespace {

// Built once and never freed: it is used until the process ends.
const icu::Normalizer2& Unicode9Nfc() {
  static const icu::Normalizer2* const nfc = [] {
    UErrorCode error = U_ZERO_ERROR;
    auto* known = new icu::UnicodeSet(UNICODE_STRING_SIMPLE("[:age=9.0:]"), error);
    const icu::Normalizer2* all = icu::Normalizer2::getNFCInstance(error);
    TANDEM_CHECK(U_SUCCESS(error));  // only an ICU without its data fails
    known->freeze();
    return new icu::FilteredNormalizer2(*all, *known);
  }();
  return *nfc;
}

}  // namespace

std::string_view ToNfc(std::string_view text, std::string& storage) {
  // Up to U+02FF nothing composes with what stands before it, and U+0300 begins with 0xCC.
  const auto below_marks = [](char c) { return static_cast<unsigned char>(c) < 0xCC; };
  if (std::all_of(text.begin(), text.end(), below_marks)) return text;
  const icu::Normalizer2& nfc = Unicode9Nfc();
  const icu::StringPiece piece(text.data(), static_cast<int32_t>(text.size()));
  UErrorCode error = U_ZERO_ERROR;
  if (nfc.isNormalizedUTF8(piece, error)) return text;
  storage.clear();
  icu::StringByteSink<std::string> sink(&storage);
  nfc.normalizeUTF8(0, piece, sink, nullptr, error);
  TANDEM_CHECK(U_SUCCESS(error));
  return storage;
}

}  // namespace tandem
