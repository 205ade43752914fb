// JSON as the run's files hold it, read leniently: a report should not fail for a field.
#pragma once

#include <cmath>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace tandem {

using Json = nlohmann::json;

// The number at `key`: also of a string ("12", "NaN": protobuf writes 64-bit integers and non-finite numbers so).
// `missing` when the key is not there; NaN when it holds something else.
inline double Number(const Json& object, const char* key, double missing = 0) {
  const auto found = object.find(key);
  if (found == object.end()) return missing;
  if (found->is_number()) return found->get<double>();
  if (!found->is_string()) return std::numeric_limits<double>::quiet_NaN();
  const std::string& text = found->get_ref<const std::string&>();
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return end == text.c_str() || *end != '\0' ? std::numeric_limits<double>::quiet_NaN() : value;
}

// The string at `key`, or "".
inline std::string Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The array or object at `key`, or an empty one: safe to iterate over.
inline const Json& Child(const Json& object, const char* key) {
  static const Json* const kNothing = new Json(Json::array());
  const auto found = object.find(key);
  return found != object.end() && found->is_structured() ? *found : *kNothing;
}

// The value among protobuf's NamedValues in the array at `key`; NaN when there is none of that name.
inline double Named(const Json& object, const char* key, std::string_view name) {
  for (const Json& entry : Child(object, key)) {
    if (entry.is_object() && Text(entry, "name") == name) return Number(entry, "value");
  }
  return std::numeric_limits<double>::quiet_NaN();
}

// A number for the page: six significant digits, and null for what is not finite.
Json Rounded(double value);

}  // namespace tandem
