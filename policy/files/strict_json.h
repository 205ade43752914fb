// JSON that comes from elsewhere.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// The object that `text` is. kDataLoss, naming `path` and the byte: anything that is not JSON in UTF-8, is not an
// object, has more than 100 MB, is nested deeper than 32 levels, holds more than 4 Mi values (what a value takes in
// memory is many times what it takes in the text), or names a key twice: of two such values some readers take the first
// and some the last, and two programs that check and use a file must not see different ones.
absl::StatusOr<nlohmann::json> ParseStrictJson(const std::string& path, std::string_view text);

// A value, or a name in single quotes, as an error quotes it: one line, cut where it is long.
std::string QuoteJson(const nlohmann::json& value);
std::string QuoteName(std::string_view name);

}  // namespace tandem
