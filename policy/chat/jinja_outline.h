// A Jinja template without what does not change its meaning, so that templates can be compared.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tandem {

// The tags of `text` one after the other, as transformers' apply_chat_template would read them (trim_blocks,
// lstrip_blocks): comments and whitespace gone, strings in double quotes and joined where they are added, x['role']
// written x.role, the dashes of tags applied. Text that would be output as it stands is [text].
//   "{%- if x['role'] == 'user' %}\n  {{- 'a' + '\n' }}"   ->   {%ifx.role=="user"%}{{"a\n"}}
// kInvalidArgument: a tag or a string that does not end.
absl::StatusOr<std::string> JinjaOutline(std::string_view text);

// The text of a string that starts at the quote `at` of an outline; `at` is then behind its end.
std::string OutlinedString(std::string_view outline, size_t& at);

}  // namespace tandem
