#include "policy/tokenizer/json_file.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace tandem {
namespace {

constexpr uintmax_t kMostBytes = 256 << 20;  // the largest tokenizer.json of today's models has 35 MB
const nlohmann::json kNothing;

}  // namespace

absl::StatusOr<nlohmann::json> ReadJsonFile(const std::string& path) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (!error && size > kMostBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has ", size >> 20, " MB; expected at most ", kMostBytes >> 20));
  }
  TANDEM_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  try {
    return nlohmann::json::parse(bytes);
  } catch (const nlohmann::json::exception& e) {
    const std::string_view what = e.what();
    const size_t id = what.find("] ");  // behind "[json.exception.parse_error.101] "
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", std::string(id == std::string_view::npos ? what : what.substr(id + 2))));
  }
}

absl::Status JsonField::Bad(std::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(file_, ": ", name_, name_.empty() ? "" : ": ", std::string(what)));
}

absl::Status JsonField::Expected(std::string_view expected) const {
  std::string shown = "missing";
  if (value_->is_structured()) {
    shown = absl::StrCat(value_->is_array() ? "a list of " : "an object of ", value_->size());
  } else if (!null()) {
    shown = value_->dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
    if (shown.size() > 80) shown = absl::StrCat(shown.substr(0, 80), "...");
  }
  return Bad(absl::StrCat(shown, "; expected ", std::string(expected)));
}

JsonField JsonField::Member(std::string_view member) const {
  const std::string key(member);
  const std::string name = absl::StrCat(name_, name_.empty() ? "" : ".", key);
  if (!value_->is_object()) return {&kNothing, file_, name};
  const auto found = value_->find(key);
  return {found == value_->end() ? &kNothing : &*found, file_, name};
}

JsonField JsonField::Element(size_t index) const {
  TANDEM_CHECK(value_->is_array() && index < value_->size());
  return {&(*value_)[index], file_, absl::StrCat(name_, "[", index, "]")};
}

absl::StatusOr<std::string> JsonField::Text() const {
  if (!value_->is_string()) return Expected("text");
  return value_->get<std::string>();
}

absl::StatusOr<bool> JsonField::Flag(std::optional<bool> when_missing) const {
  if (null() && when_missing) return *when_missing;
  if (!value_->is_boolean()) return Expected("true or false");
  return value_->get<bool>();
}

absl::StatusOr<int32_t> JsonField::Id() const {
  if (!value_->is_number_unsigned() || value_->get<uint64_t>() >= kMostIds) {
    return Expected(absl::StrCat("an id, from 0 to ", kMostIds - 1));
  }
  return static_cast<int32_t>(value_->get<uint64_t>());
}

absl::Status JsonField::CheckObject() const { return value_->is_object() ? absl::OkStatus() : Expected("an object"); }

absl::Status JsonField::CheckList() const { return value_->is_array() ? absl::OkStatus() : Expected("a list"); }

}  // namespace tandem
