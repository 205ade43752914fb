// The fields of a JSON object, read with their types and ranges checked.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// Every error is kInvalidArgument and one line: the file, the field, what it holds and what was expected. A field that
// is null counts as absent, and is then its fallback; without a fallback that is an error. The object must outlive
// this.
class JsonFields {
 public:
  // `prefix`: of the fields' names in errors, e.g. "rope_scaling.".
  JsonFields(std::string file, const nlohmann::json& object, std::string prefix = "");

  bool Has(const char* key) const;                           // there, and not null
  bool IsNull(const char* key) const;                        // there, and null
  const nlohmann::json& At(const char* key) const;           // null where it is absent
  absl::StatusOr<JsonFields> Object(const char* key) const;  // the object of a field, which Has() says is there

  // A whole number within least ... most. 3.0 is none.
  absl::StatusOr<int64_t> Whole(const char* key, std::optional<int64_t> fallback, int64_t least, int64_t most) const;
  absl::StatusOr<double> Number(const char* key, std::optional<double> fallback, double least, double most) const;
  absl::StatusOr<bool> Flag(const char* key, bool fallback) const;
  absl::StatusOr<std::string> Text(const char* key, std::optional<std::string> fallback) const;
  // One token id or a list of them, each within 0 ... most.
  absl::StatusOr<std::vector<int32_t>> TokenIds(const char* key, std::vector<int32_t> fallback, int64_t most) const;

  // "FILE: FIELD is VALUE; expected EXPECTED"
  absl::Status Bad(const char* key, const std::string& expected) const;

 private:
  std::string file_, prefix_;
  const nlohmann::json* object_;
};

}  // namespace tandem
