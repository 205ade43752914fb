// The keys of a request, read one by one: whoever reads a key says what it takes, and a key that nobody asked for is an
// error.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// The first error stays and everything after it is as if absent. A key that is null is absent, as OpenAI has it.
class RequestFields {
 public:
  // kInvalidArgument: not JSON, with the byte, or no object.
  static absl::StatusOr<RequestFields> Parse(const std::string& body);
  // The keys below `name` of others.
  RequestFields(nlohmann::json object, std::string name) : object_(std::move(object)), name_(std::move(name)) {}

  const nlohmann::json* Find(const char* key);  // null: absent
  double Number(const char* key, double otherwise, double least, double most);
  int64_t Integer(const char* key, int64_t otherwise, int64_t least, int64_t most);
  bool Flag(const char* key, bool otherwise);
  std::string Text(const char* key, const std::string& otherwise);

  // Keys that change nothing here.
  void Ignore(std::initializer_list<const char*> keys);
  // A key of others that is taken only with values that change nothing. `expected`: what to say of another.
  void Neutral(const char* key, std::initializer_list<nlohmann::json> neutral, std::string_view expected);

  void Fail(const absl::Status& error) { error_.Update(error); }
  absl::Status error() const { return error_; }
  // The first error; one of a key that was not read, with the name that is nearest.
  absl::Status Finish();

 private:
  std::string Full(const std::string& key) const { return name_.empty() ? key : name_ + "." + key; }

  nlohmann::json object_;
  std::string name_;
  std::set<std::string> read_;
  absl::Status error_;
};

}  // namespace tandem
