// A CharacterTokenizer as a tokenizer.json: words of one character each, which a vocabulary of words knows.
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/tokenizer/character_tokenizer.h"
#include "policy/tokenizer/json_file.h"

namespace tandem {
namespace {

using nlohmann::ordered_json;

ordered_json Vocabulary(const CharacterTokenizer& tokenizer) {
  ordered_json vocabulary;
  for (int32_t id = 0; id < tokenizer.vocabulary(); ++id) vocabulary[std::string(tokenizer.Bytes(id))] = id;
  return vocabulary;
}

}  // namespace

std::string CharacterTokenizer::Json() const {
  const std::string end(kEndName);
  const ordered_json end_token = {{"id", kEnd},      {"content", end},      {"single_word", false}, {"lstrip", false},
                                  {"rstrip", false}, {"normalized", false}, {"special", true}};
  const ordered_json json = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", ordered_json::array({end_token})},
      {"normalizer", nullptr},
      {"pre_tokenizer",
       {{"type", "Split"}, {"pattern", {{"Regex", "."}}}, {"behavior", "Isolated"}, {"invert", false}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "Fuse"}}},
      // The vocabulary has no such unknown token: a character beyond the alphabet is an error there too.
      {"model", {{"type", "WordLevel"}, {"vocab", Vocabulary(*this)}, {"unk_token", ""}}},
  };
  return json.dump(1) + "\n";
}

absl::StatusOr<CharacterTokenizer> CharacterTokenizer::Load(const std::string& path) {
  TANDEM_ASSIGN_OR_RETURN(const nlohmann::json json, ReadJsonFile(path));
  const JsonField vocab = JsonField(&json, path).Member("model").Member("vocab");
  TANDEM_RETURN_IF_ERROR(vocab.CheckObject());
  std::string alphabet;
  for (const auto& [name, id] : vocab.value().items()) {
    if (name == kEndName) continue;
    if (name.size() != 1) return vocab.Bad(absl::StrCat("'", name, "'; expected single characters of ASCII"));
    alphabet += name;
  }
  absl::StatusOr<CharacterTokenizer> tokenizer = Create(alphabet);
  if (!tokenizer.ok()) return vocab.Bad(std::string(tokenizer.status().message()));
  // Whatever else the file says, it must be what Tandem would write: anything could change the ids.
  const nlohmann::json expected = nlohmann::json::parse(tokenizer->Json());
  for (const auto& [name, value] : expected.items()) {
    const JsonField field = JsonField(&json, path).Member(name);
    if (field.value() != value) return field.Bad("is not what Tandem writes for a tokenizer of characters");
  }
  return tokenizer;
}

}  // namespace tandem
