// A BpeTokenizer out of what its file says.
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/tokenizer/bpe_tokenizer.h"
#include "policy/tokenizer/byte_level.h"
#include "policy/tokenizer/nfc.h"

namespace tandem {
namespace {

// What ByteLevel divides by when it is not told otherwise (GPT-2's encoder.py).
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace

absl::StatusOr<std::unique_ptr<BpeTokenizer>> BpeTokenizer::Load(const std::string& path, std::string_view end_token) {
  TANDEM_ASSIGN_OR_RETURN(const TokenizerFile file, ReadTokenizerFile(path));
  std::unique_ptr<BpeTokenizer> tokenizer(new BpeTokenizer(file));
  TANDEM_RETURN_IF_ERROR(tokenizer->AddTokens(file));
  TANDEM_RETURN_IF_ERROR(tokenizer->CompileSplits(file));
  const std::optional<int32_t> end = tokenizer->TokenId(end_token);
  if (!end) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has no token '", std::string(end_token), "', which should end a turn"));
  }
  tokenizer->end_id_ = *end;
  for (const auto* ids : {&tokenizer->before_, &tokenizer->after_}) {
    for (const int32_t id : *ids) {
      if (!tokenizer->Bytes(id).empty()) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": post_processor: special_tokens: ", id, " is not the id of a token"));
    }
  }
  return tokenizer;
}

absl::Status BpeTokenizer::CompileSplits(const TokenizerFile& file) {
  std::vector<TokenizerFile::Split> splits = file.splits;
  prefix_space_before_ = splits.size() + (file.add_prefix_space ? 0 : 2);
  if (file.gpt2_split) splits.push_back({std::string(kGpt2Pattern), "pre_tokenizer"});
  for (TokenizerFile::Split& split : splits) {
    TANDEM_ASSIGN_OR_RETURN(SplitPattern compiled,
                            SplitPattern::Compile(split.pattern, absl::StrCat(file.path, ": ", split.field)));
    splits_.push_back(std::move(compiled));
  }
  return absl::OkStatus();
}

void BpeTokenizer::SetBytes(int32_t id, std::string_view bytes) {
  if (static_cast<size_t>(id) >= tokens_.size()) tokens_.resize(static_cast<size_t>(id) + 1);
  tokens_[id].begin = static_cast<uint32_t>(arena_.size());
  tokens_[id].size = static_cast<uint32_t>(bytes.size());
  arena_ += bytes;
}

absl::Status BpeTokenizer::AddTokens(const TokenizerFile& file) {
  std::vector<int32_t> spelled;  // those that words can become
  for (const auto& [spelling, id] : file.vocabulary) {
    const std::optional<std::string> bytes = BytesOfSpelling(spelling);
    SetBytes(id, bytes ? *bytes : spelling);
    if (bytes) spelled.push_back(id);
  }
  std::vector<AddedToken> in_text, in_normalized;
  absl::flat_hash_map<std::string, std::string> normalized;
  std::string storage;
  for (AddedToken token : file.added_tokens) {
    added_ids_[token.content] = token.id;
    bool special = token.special;
    if (token.normalized) {
      const std::string content = token.content;
      if (nfc_) token.content = std::string(ToNfc(content, storage));
      special = special && token.content == content;  // an oddity of `tokenizers`
      if (!normalized.emplace(token.content, content).second) {
        return absl::InvalidArgumentError(absl::StrCat(file.path, ": added_tokens: '", content, "' and '",
                                                       normalized[token.content], "' are the same in NFC"));
      }
    }
    // As the decoder does with any token: one that could be spelled bytes is taken for that.
    SetBytes(token.id, BytesOfSpelling(token.content).value_or(token.content));
    tokens_[token.id].special = special;
    (token.normalized ? in_normalized : in_text).push_back(std::move(token));
  }
  in_text_ = std::make_unique<AddedTokenMatcher>(std::move(in_text));
  in_normalized_ = std::make_unique<AddedTokenMatcher>(std::move(in_normalized));
  for (const int32_t id : spelled) ids_[Text(tokens_[id])] = id;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_ids_[byte] = ids_.at(std::string_view(&c, 1));
  }
  return absl::OkStatus();
}

}  // namespace tandem
