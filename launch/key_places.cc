#include "launch/key_places.h"

#include "absl/strings/str_cat.h"

namespace tandem {

void KeyPlaces::SetLine(const std::string& path, int line) {
  lines_[path] = line > 0 ? absl::StrCat(file_, ":", line) : file_;
}

void KeyPlaces::SetFlag(const std::string& path, const std::string& flag) { flags_[path] = flag; }

absl::Status KeyPlaces::Error(const std::string& path, const std::string& message) const {
  for (std::string at = path; !at.empty();) {
    if (const auto flag = flags_.find(at); flag != flags_.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(flag->second, ": ", at == path ? "" : absl::StrCat(path, ": "), message));
    }
    if (const auto line = lines_.find(at); line != lines_.end()) {
      return absl::InvalidArgumentError(absl::StrCat(line->second, ": ", path, ": ", message));
    }
    const size_t dot = at.rfind('.');
    at = dot == std::string::npos ? "" : at.substr(0, dot);
  }
  return absl::InvalidArgumentError(absl::StrCat(file_, ": ", path.empty() ? "" : path + ": ", message));
}

}  // namespace tandem
