// Oniguruma's regular expressions (Ruby's syntax), in which tokenizer.json has its patterns, said in PCRE2's.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tandem {

// A pattern for PCRE2 (UTF, UCP, newline LF) that matches what `pattern` matches in Oniguruma. Takes the part of the
// language whose meaning is known to be the same or could be said otherwise:
//   literals, |, ., ( ), (?: ), (?> ), look-ahead and look-behind, classes without operators, general categories
//   \p{Lu}, \s \S \d \D, escapes of characters, quantifiers, lazy and possessive, {n}, {n,}, {n,m};
//   (?i: ) of letters without accents.
// kInvalidArgument: anything else ("column 5: '\b' is not supported").
absl::StatusOr<std::string> OnigurumaToPcre2(std::string_view pattern);

}  // namespace tandem
