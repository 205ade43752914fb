// JSON files whose errors name the file and the field. For the sources of this folder and of policy/chat: it includes
// the whole of nlohmann/json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// kNotFound, kPermissionDenied: no such file. kInvalidArgument: larger than a tokenizer can be, or not JSON (with the
// place of the mistake).
absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path);

// A value, and where it stands: "tokenizer.json: model.merges[3]". Points into the file's JSON, which must outlive it.
class JsonField {
 public:
  // The whole of a file has no name.
  JsonField(const nlohmann::json* value, std::string file, std::string name = "")
      : value_(value), file_(std::move(file)), name_(std::move(name)) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& name() const { return name_; }  // "model.vocab"
  bool null() const { return value_->is_null(); }

  // kInvalidArgument: "<file>: <name>: <what>".
  absl::Status Bad(std::string_view what) const;
  // "<file>: <name>: <value, cut when long>; expected <expected>".
  absl::Status Expected(std::string_view expected) const;

  // The member of that name of an object; null when it is missing (or this is not an object).
  JsonField Member(std::string_view member) const;
  // The element of a list, which must have it.
  JsonField Element(size_t index) const;

  absl::StatusOr<std::string> Text() const;
  absl::StatusOr<bool> Flag(std::optional<bool> when_missing = std::nullopt) const;
  absl::StatusOr<int32_t> Id() const;  // of a token: in [0, kMostIds)
  // kInvalidArgument when it is none.
  absl::Status CheckObject() const;
  absl::Status CheckList() const;

 private:
  const nlohmann::json* value_;
  std::string file_, name_;
};

// Far beyond any vocabulary; a larger id could only make tables of ids take all memory.
inline constexpr int32_t kMostIds = 1 << 22;

}  // namespace tandem
