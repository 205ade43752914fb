#include "policy/files/strict_json.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

using nlohmann::json;
constexpr size_t kDeepest = 32, kMostValues = size_t{4} << 20, kLongest = 100'000'000;

// Reads through the text and keeps nothing but the keys of the objects that are open. Every function says whether to
// read on.
class StrictReader final : public json::json_sax_t {
 public:
  const std::string& error() const { return error_; }

  bool null() override { return Value(); }
  bool boolean(bool) override { return Value(); }
  bool number_integer(number_integer_t) override { return Value(); }
  bool number_unsigned(number_unsigned_t) override { return Value(); }
  bool number_float(number_float_t, const string_t&) override { return Value(); }
  bool string(string_t&) override { return Value(); }
  bool binary(binary_t&) override { return Value(); }
  bool start_object(size_t) override { return Open(); }
  bool start_array(size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    if (keys_.back().insert(name).second) return true;
    return Fail(absl::StrCat("names the key ", QuoteName(name), " twice"));
  }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return Fail(absl::StrCat("is not JSON at byte ", position));
  }

 private:
  bool Fail(std::string error) {
    error_ = std::move(error);
    return false;
  }
  bool Value() { return ++values_ <= kMostValues || Fail(absl::StrCat("holds more than ", kMostValues, " values")); }
  bool Open() {
    if (keys_.size() == kDeepest) return Fail(absl::StrCat("is nested deeper than ", kDeepest, " levels"));
    keys_.emplace_back();
    return Value();
  }
  bool Close() {
    keys_.pop_back();
    return true;
  }

  std::vector<absl::flat_hash_set<std::string>> keys_;  // of each open object; an open list has none
  size_t values_ = 0;
  std::string error_;
};

}  // namespace

absl::StatusOr<json> ParseStrictJson(const std::string& path, std::string_view text) {
  const auto bad = [&](const std::string& what) { return absl::DataLossError(absl::StrCat(path, ": ", what)); };
  if (text.size() > kLongest) return bad(absl::StrCat("has ", text.size(), " bytes; expected at most ", kLongest));
  // The library takes a null byte for the end of the text, and skips a byte order mark.
  if (const size_t null = text.find('\0'); null != text.npos) {
    return bad(absl::StrCat("is not JSON at byte ", null + 1));
  }
  if (text.empty()) return bad("is empty; expected a JSON object");
  if (text.substr(0, 3) == "\xEF\xBB\xBF") return bad("begins with a byte order mark; expected a JSON object");
  StrictReader reader;
  if (!json::sax_parse(text.begin(), text.end(), &reader)) return bad(reader.error());
  json parsed = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return bad("is not a JSON object");
  return parsed;
}

std::string QuoteJson(const json& value) {
  constexpr size_t kMost = 80;
  if (value.is_structured() && value.size() > kMost) return value.is_array() ? "a long list" : "a large object";
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  if (text.size() > kMost) text = absl::StrCat(text.substr(0, kMost), "...");
  return text;
}

std::string QuoteName(std::string_view name) {
  constexpr size_t kMost = 200;
  return absl::StrCat("'", absl::Utf8SafeCEscape(std::string(name.substr(0, kMost))),
                      name.size() > kMost ? "...'" : "'");
}

}  // namespace tandem
