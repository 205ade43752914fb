// Byte-level byte-pair encoding from a tokenizer.json, with exactly the ids that Hugging Face's `tokenizers` gives.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "policy/tokenizer/added_token_matcher.h"
#include "policy/tokenizer/merge_table.h"
#include "policy/tokenizer/split_pattern.h"
#include "policy/tokenizer/tokenizer.h"
#include "policy/tokenizer/tokenizer_file.h"

namespace tandem {

// A text becomes ids in these steps: added tokens are found; what lies between is normalized; added tokens that are
// looked for in normalized text are found; patterns divide the rest into words; the bytes of a word are merged.
//
// What a letter, digit or space is, the patterns know from PCRE2 (10.42 in Debian 12: Unicode 14). `tokenizers` knows
// of later versions: where a text has characters assigned since, ids may differ.
class BpeTokenizer final : public Tokenizer {
 public:
  // `end_token` ends a turn ("<|im_end|>"). Errors as ReadTokenizerFile's; kInvalidArgument also for patterns that
  // SplitPattern does not take, and for ids and an end token that the vocabulary lacks.
  static absl::StatusOr<std::unique_ptr<BpeTokenizer>> Load(const std::string& path, std::string_view end_token);
  ~BpeTokenizer() override;

  int64_t vocabulary() const override { return static_cast<int64_t>(tokens_.size()); }
  int32_t end_id() const override { return end_id_; }
  std::optional<int32_t> TokenId(std::string_view name) const override;
  bool Special(int32_t id) const override;
  std::string_view Bytes(int32_t id) const override;

 private:
  struct Token {
    uint32_t begin = 0, size = 0;  // in arena_; no bytes: no token has this id
    bool special = false;
  };
  // What one call of Encode needs, kept for the next: with it, a known word costs no allocation.
  struct Scratch;

  explicit BpeTokenizer(const TokenizerFile& file);
  absl::Status CompileSplits(const TokenizerFile& file);
  absl::Status AddTokens(const TokenizerFile& file);

  absl::StatusOr<std::vector<int32_t>> EncodeUtf8(std::string_view text, const EncodeOptions& options) const override;
  absl::Status EncodeBetweenTokens(std::string_view text, bool special_tokens_as_text, Scratch& scratch,
                                   std::vector<int32_t>& ids) const;
  absl::Status Divide(std::string_view text, size_t split, Scratch& scratch, std::vector<int32_t>& ids) const;
  void EncodeWord(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const;
  std::string_view Text(const Token& token) const { return std::string_view(arena_).substr(token.begin, token.size); }
  void SetBytes(int32_t id, std::string_view bytes);

  const bool nfc_, ignore_merges_;
  const std::vector<int32_t> before_, after_;
  const MergeTable merges_;
  std::string arena_;  // of all tokens' bytes
  std::vector<Token> tokens_;
  int32_t byte_ids_[256];
  int32_t end_id_ = 0;
  absl::flat_hash_map<std::string_view, int32_t> ids_;   // of the ordinary tokens, by their bytes in arena_
  absl::flat_hash_map<std::string, int32_t> added_ids_;  // by content
  std::unique_ptr<AddedTokenMatcher> in_text_, in_normalized_;
  std::vector<SplitPattern> splits_;
  size_t prefix_space_before_ = 0;  // the split in front of which parts get their space; beyond the last: none

  mutable absl::Mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> idle_ ABSL_GUARDED_BY(mutex_);  // as many as there were callers at once
};

}  // namespace tandem
