// Unicode's normalization form C, by ICU.
#pragma once

#include <string>
#include <string_view>

namespace tandem {

// `text`, which must be UTF-8, in NFC: itself when it is already, else what is written to `storage`. Follows Unicode
// 9.0 whatever ICU has, since `tokenizers` does: characters assigned later are left alone.
std::string_view ToNfc(std::string_view text, std::string& storage);

}  // namespace tandem
