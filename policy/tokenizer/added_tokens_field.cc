#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/tokenizer/tokenizer_fields.h"

namespace tandem {
namespace {

absl::StatusOr<AddedToken> ReadAddedToken(const JsonField& field) {
  TANDEM_RETURN_IF_ERROR(field.CheckObject());
  AddedToken token;
  TANDEM_ASSIGN_OR_RETURN(token.id, field.Member("id").Id());
  TANDEM_ASSIGN_OR_RETURN(token.content, field.Member("content").Text());
  if (token.content.empty()) return field.Member("content").Expected("at least one character");
  TANDEM_ASSIGN_OR_RETURN(token.single_word, field.Member("single_word").Flag(false));
  TANDEM_ASSIGN_OR_RETURN(token.lstrip, field.Member("lstrip").Flag(false));
  TANDEM_ASSIGN_OR_RETURN(token.rstrip, field.Member("rstrip").Flag(false));
  TANDEM_ASSIGN_OR_RETURN(token.special, field.Member("special").Flag(false));
  TANDEM_ASSIGN_OR_RETURN(token.normalized, field.Member("normalized").Flag(!token.special));
  return token;
}

}  // namespace

absl::Status ReadAddedTokensField(const JsonField& added_tokens, TokenizerFile& file) {
  if (added_tokens.null()) return absl::OkStatus();
  TANDEM_RETURN_IF_ERROR(added_tokens.CheckList());
  // `tokenizers` looks a token up in the vocabulary, and numbers the others on from there: the ids of the file must be
  // what comes of that, or it would not give them.
  const absl::flat_hash_map<std::string_view, int32_t> known(file.vocabulary.begin(), file.vocabulary.end());
  absl::flat_hash_set<int32_t> ids;
  for (const auto& [spelling, id] : file.vocabulary) ids.insert(id);
  absl::flat_hash_set<std::string> contents;
  auto next = static_cast<int32_t>(file.vocabulary.size());
  for (size_t i = 0; i < added_tokens.value().size(); ++i) {
    const JsonField field = added_tokens.Element(i);
    TANDEM_ASSIGN_OR_RETURN(AddedToken token, ReadAddedToken(field));
    if (!contents.insert(token.content).second) {
      return field.Member("content").Bad(absl::StrCat("'", token.content, "' is there twice"));
    }
    const auto found = known.find(token.content);
    const int32_t id = found != known.end() ? found->second : next++;
    if (token.id != id) {
      return field.Member("id").Bad(absl::StrCat(
          token.id, " of '", token.content, "'; expected ", id,
          found != known.end() ? ", its id in model.vocab" : ": new tokens follow the vocabulary in order"));
    }
    if (found == known.end() && !ids.insert(id).second) {
      return field.Member("id").Bad(absl::StrCat(id, " of '", token.content, "' is another token's in model.vocab"));
    }
    file.added_tokens.push_back(std::move(token));
  }
  return absl::OkStatus();
}

}  // namespace tandem
