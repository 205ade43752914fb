#include "launch/request_file.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "launch/suggestion.h"
#include "policy/tokenizer/utf8.h"

namespace tandem {
namespace {

absl::StatusOr<std::string> ReadInput(const std::string& file) {
  if (file != "-") return ReadFile(file);
  std::string text;
  char buffer[1 << 16];
  ssize_t size = 0;
  while ((size = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0) text.append(buffer, static_cast<size_t>(size));
  if (size < 0) return absl::DataLossError("standard input: cannot be read");
  return text;
}

}  // namespace

absl::Status RequestError(const RequestLine& line, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(line.place, ": ", message));
}

absl::StatusOr<std::vector<RequestLine>> ReadRequests(const std::string& file, const std::vector<std::string>& keys) {
  TANDEM_ASSIGN_OR_RETURN(const std::string text, ReadInput(file));
  std::vector<RequestLine> requests;
  int64_t number = 0;
  for (const absl::string_view written : absl::StrSplit(text, '\n')) {
    ++number;
    if (absl::StripAsciiWhitespace(written).empty()) continue;
    RequestLine line = {absl::StrCat(file == "-" ? "standard input" : file, ":", number), {}};
    if (const size_t byte = FirstInvalidUtf8({written.data(), written.size()}); byte != std::string::npos) {
      return RequestError(line, absl::StrCat("is not UTF-8 at byte ", byte + 1));
    }
    try {
      line.fields = nlohmann::json::parse(written.begin(), written.end());
    } catch (const nlohmann::json::parse_error& error) {
      return RequestError(line, absl::StrCat("is not JSON at byte ", error.byte));
    }
    if (!line.fields.is_object()) {
      return RequestError(line, absl::StrCat("expected a JSON object with ", absl::StrJoin(keys, " or ")));
    }
    for (const auto& [key, value] : line.fields.items()) {
      if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
      return RequestError(
          line, absl::StrCat("key \"", key, "\": expected ", absl::StrJoin(keys, " or "), Suggestion(key, keys)));
    }
    requests.push_back(std::move(line));
  }
  return requests;
}

absl::StatusOr<std::string> TextOf(const nlohmann::json& fields) {
  const auto text = fields.find("text");
  if (text == fields.end() || !text->is_string()) return absl::InvalidArgumentError("\"text\" is not a string");
  return text->get<std::string>();
}

absl::StatusOr<std::vector<int32_t>> IdsOf(const nlohmann::json& fields, int64_t vocabulary) {
  const auto ids = fields.find("ids");
  if (ids == fields.end() || !ids->is_array()) {
    return absl::InvalidArgumentError("\"ids\" is not a list of token ids");
  }
  std::vector<int32_t> result;
  for (const nlohmann::json& id : *ids) {
    if (!id.is_number_integer() || id < 0 || id >= vocabulary) {
      return absl::InvalidArgumentError(
          absl::StrCat("ids[", result.size(), "] is ", id.dump(), ", expected 0 to ", vocabulary - 1));
    }
    result.push_back(id.get<int32_t>());
  }
  return result;
}

}  // namespace tandem
