#include "launch/serve/request_fields.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "launch/serve/api_error.h"
#include "launch/suggestion.h"
#include "policy/files/strict_json.h"
#include "policy/tokenizer/utf8.h"

namespace tandem {

using Json = nlohmann::json;

absl::StatusOr<RequestFields> RequestFields::Parse(const std::string& body) {
  if (const size_t byte = FirstInvalidUtf8(body); byte != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("the request is not UTF-8 at byte ", byte + 1));
  }
  absl::StatusOr<Json> object = ParseStrictJson("the request", body);
  if (object.ok()) return RequestFields(*std::move(object), "");
  return absl::InvalidArgumentError(object.status().message());
}

const Json* RequestFields::Find(const char* key) {
  read_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() || !error_.ok() ? nullptr : &*found;
}

double RequestFields::Number(const char* key, double otherwise, double least, double most) {
  const Json* value = Find(key);
  if (value == nullptr) return otherwise;
  if (value->is_number() && value->get<double>() >= least && value->get<double>() <= most) return value->get<double>();
  Fail(BadKey(Full(key), absl::StrCat("expected a number from ", least, " to ", most, ", found ", QuoteJson(*value))));
  return otherwise;
}

int64_t RequestFields::Integer(const char* key, int64_t otherwise, int64_t least, int64_t most) {
  const Json* value = Find(key);
  if (value == nullptr) return otherwise;
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() || value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
  if (fits && value->get<int64_t>() >= least && value->get<int64_t>() <= most) return value->get<int64_t>();
  Fail(BadKey(Full(key),
              absl::StrCat("expected a whole number from ", least, " to ", most, ", found ", QuoteJson(*value))));
  return otherwise;
}

bool RequestFields::Flag(const char* key, bool otherwise) {
  const Json* value = Find(key);
  if (value == nullptr) return otherwise;
  if (value->is_boolean()) return value->get<bool>();
  Fail(BadKey(Full(key), absl::StrCat("expected true or false, found ", QuoteJson(*value))));
  return otherwise;
}

std::string RequestFields::Text(const char* key, const std::string& otherwise) {
  const Json* value = Find(key);
  if (value == nullptr) return otherwise;
  if (value->is_string()) return value->get<std::string>();
  Fail(BadKey(Full(key), absl::StrCat("expected a string, found ", QuoteJson(*value))));
  return otherwise;
}

void RequestFields::Ignore(std::initializer_list<const char*> keys) {
  for (const char* key : keys) read_.insert(key);
}

void RequestFields::Neutral(const char* key, std::initializer_list<Json> neutral, std::string_view expected) {
  const Json* value = Find(key);
  if (value == nullptr || std::find(neutral.begin(), neutral.end(), *value) != neutral.end()) return;
  Fail(BadKey(Full(key),
              absl::StrCat("is not supported: expected ", std::string(expected), ", found ", QuoteJson(*value))));
}

absl::Status RequestFields::Finish() {
  if (!error_.ok()) return error_;
  const std::vector<std::string> known(read_.begin(), read_.end());
  for (const auto& [key, value] : object_.items()) {
    if (value.is_null() || read_.contains(key)) continue;
    return BadKey(Full(key), absl::StrCat("is not known here, and might change what is generated: expected no such key",
                                          Suggestion(key, known)));
  }
  return absl::OkStatus();
}

}  // namespace tandem
