#include "policy/files/json_fields.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/files/strict_json.h"

namespace tandem {
namespace {

bool IsWholeWithin(const nlohmann::json& value, int64_t least, int64_t most) {
  if (!value.is_number_integer()) return false;  // which unsigned ones are too
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return false;
  return value.get<int64_t>() >= least && value.get<int64_t>() <= most;
}

}  // namespace

JsonFields::JsonFields(std::string file, const nlohmann::json& object, std::string prefix)
    : file_(std::move(file)), prefix_(std::move(prefix)), object_(&object) {
  TANDEM_CHECK(object.is_object());
}

const nlohmann::json& JsonFields::At(const char* key) const {
  static const nlohmann::json null;
  const auto found = object_->find(key);
  return found == object_->end() ? null : *found;
}

bool JsonFields::Has(const char* key) const { return !At(key).is_null(); }

bool JsonFields::IsNull(const char* key) const { return object_->contains(key) && At(key).is_null(); }

absl::Status JsonFields::Bad(const char* key, const std::string& expected) const {
  const std::string value = Has(key) ? QuoteJson(At(key)) : "missing";
  return absl::InvalidArgumentError(absl::StrCat(file_, ": ", prefix_, key, " is ", value, "; expected ", expected));
}

absl::StatusOr<JsonFields> JsonFields::Object(const char* key) const {
  if (!At(key).is_object()) return Bad(key, "an object");
  return JsonFields(file_, At(key), absl::StrCat(prefix_, key, "."));
}

absl::StatusOr<int64_t> JsonFields::Whole(const char* key, std::optional<int64_t> fallback, int64_t least,
                                          int64_t most) const {
  if (!Has(key) && fallback) return *fallback;
  if (!IsWholeWithin(At(key), least, most)) return Bad(key, absl::StrCat("a whole number from ", least, " to ", most));
  return At(key).get<int64_t>();
}

absl::StatusOr<double> JsonFields::Number(const char* key, std::optional<double> fallback, double least,
                                          double most) const {
  if (!Has(key) && fallback) return *fallback;
  const nlohmann::json& value = At(key);
  if (!value.is_number() || !(value.get<double>() >= least && value.get<double>() <= most)) {
    return Bad(key, absl::StrCat("a number from ", least, " to ", most));
  }
  return value.get<double>();
}

absl::StatusOr<bool> JsonFields::Flag(const char* key, bool fallback) const {
  if (!Has(key)) return fallback;
  if (!At(key).is_boolean()) return Bad(key, "true or false");
  return At(key).get<bool>();
}

absl::StatusOr<std::string> JsonFields::Text(const char* key, std::optional<std::string> fallback) const {
  if (!Has(key) && fallback) return *std::move(fallback);
  if (!At(key).is_string()) return Bad(key, "text");
  return At(key).get<std::string>();
}

absl::StatusOr<std::vector<int32_t>> JsonFields::TokenIds(const char* key, std::vector<int32_t> fallback,
                                                          int64_t most) const {
  if (!Has(key)) return fallback;
  const nlohmann::json& value = At(key);
  std::vector<int32_t> ids;
  for (const nlohmann::json& id : value.is_array() ? value : nlohmann::json::array({value})) {
    if (!IsWholeWithin(id, 0, most)) {
      return Bad(key, absl::StrCat("a token id, or a list of them, from 0 to ", most));
    }
    ids.push_back(static_cast<int32_t>(id.get<int64_t>()));
  }
  return ids;
}

}  // namespace tandem
