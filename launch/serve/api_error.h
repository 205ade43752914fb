// What is wrong with a request, in the form in which OpenAI's clients expect it.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace tandem {

// kInvalidArgument about a key of the request; `code`: for programs, as in "context_length_exceeded", often empty.
absl::Status BadKey(std::string_view key, std::string_view message, std::string_view code = "");

// 400, 404, 503 or 500.
int HttpStatus(const absl::Status& error);

// {"error": {"message": ..., "type": ..., "param": the key, "code": ...}}
std::string ErrorBody(const absl::Status& error);

}  // namespace tandem
