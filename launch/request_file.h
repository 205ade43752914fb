// Requests as JSON lines: the input of `tandem score`, `generate` and `tokenize`.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tandem {

struct RequestLine {
  std::string place;  // "FILE:LINE", for errors
  nlohmann::json fields;
};

// Every line of the file that is not empty; "-" is standard input. Errors name file and line: what is not a JSON
// object, or has a key beside `keys`.
absl::StatusOr<std::vector<RequestLine>> ReadRequests(const std::string& file, const std::vector<std::string>& keys);

// "FILE:LINE: message".
absl::Status RequestError(const RequestLine& line, absl::string_view message);

// The value, or its error with the line's place in front.
template <typename T>
absl::StatusOr<T> AtLine(const RequestLine& line, absl::StatusOr<T> value) {
  if (value.ok()) return value;
  return RequestError(line, value.status().message());
}

// A request's "text". Errors do not name the line.
absl::StatusOr<std::string> TextOf(const nlohmann::json& fields);
// A request's "ids". An id that is no number from 0 to vocabulary-1 is an error that names its place in the list.
absl::StatusOr<std::vector<int32_t>> IdsOf(const nlohmann::json& fields, int64_t vocabulary);

}  // namespace tandem
