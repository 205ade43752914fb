#include "policy/tokenizer/open_tokenizer.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/tokenizer/bpe_tokenizer.h"
#include "policy/tokenizer/character_tokenizer.h"
#include "policy/tokenizer/json_file.h"

namespace tandem {
namespace {

// Whether Tandem wrote the file for a CharacterTokenizer: then it is small, so that no other is parsed twice.
absl::StatusOr<bool> HoldsCharacters(const std::string& path) {
  std::error_code error;
  if (std::filesystem::file_size(path, error) > 64 << 10 && !error) return false;
  TANDEM_ASSIGN_OR_RETURN(const nlohmann::json json, ReadJsonFile(path));
  return JsonField(&json, path).Member("model").Member("type").value() == "WordLevel";
}

}  // namespace

absl::StatusOr<std::string> ConfiguredToken(const std::string& config_path, std::string_view name) {
  TANDEM_ASSIGN_OR_RETURN(const nlohmann::json json, ReadJsonFile(config_path));
  const JsonField token = JsonField(&json, config_path).Member(name);
  if (token.null()) return std::string();
  return token.value().is_object() ? token.Member("content").Text() : token.Text();
}

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizer(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/tokenizer.json");
  TANDEM_ASSIGN_OR_RETURN(const bool characters, HoldsCharacters(path));
  if (characters) {
    TANDEM_ASSIGN_OR_RETURN(CharacterTokenizer tokenizer, CharacterTokenizer::Load(path));
    return std::make_unique<CharacterTokenizer>(std::move(tokenizer));
  }
  const std::string config = absl::StrCat(folder, "/tokenizer_config.json");
  TANDEM_ASSIGN_OR_RETURN(const std::string end, ConfiguredToken(config, "eos_token"));
  if (end.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(config, ": eos_token: missing; expected the token that ends a turn"));
  }
  return BpeTokenizer::Load(path, end);
}

}  // namespace tandem
