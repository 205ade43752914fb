#include "policy/tokenizer/bpe_tokenizer.h"

#include <utility>

#include "base/status.h"
#include "policy/tokenizer/byte_level.h"
#include "policy/tokenizer/nfc.h"
#include "policy/tokenizer/word_cache.h"
#include "policy/tokenizer/word_merger.h"

namespace tandem {

struct BpeTokenizer::Scratch {
  explicit Scratch(const MergeTable& merges) : merger(merges) {}

  WordCache cache;
  WordMerger merger;
  SplitPattern::Scratch matcher;
  std::vector<int32_t> symbols;
  std::vector<TextSpan> spans, normalized_spans;
  std::string normalized, prefixed;
};

BpeTokenizer::BpeTokenizer(const TokenizerFile& file)
    : nfc_(file.nfc),
      ignore_merges_(file.ignore_merges),
      before_(file.before),
      after_(file.after),
      merges_(file.merges) {}

BpeTokenizer::~BpeTokenizer() = default;

std::optional<int32_t> BpeTokenizer::TokenId(std::string_view name) const {
  if (const auto added = added_ids_.find(std::string(name)); added != added_ids_.end()) return added->second;
  const std::optional<std::string> bytes = BytesOfSpelling(name);
  if (!bytes) return std::nullopt;
  const auto found = ids_.find(*bytes);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

bool BpeTokenizer::Special(int32_t id) const { return id >= 0 && id < vocabulary() && tokens_[id].special; }

std::string_view BpeTokenizer::Bytes(int32_t id) const {
  return id >= 0 && id < vocabulary() ? Text(tokens_[id]) : std::string_view();
}

absl::StatusOr<std::vector<int32_t>> BpeTokenizer::EncodeUtf8(std::string_view text,
                                                              const EncodeOptions& options) const {
  std::unique_ptr<Scratch> scratch;
  {
    absl::MutexLock lock(&mutex_);
    if (!idle_.empty()) {
      scratch = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (scratch == nullptr) scratch = std::make_unique<Scratch>(merges_);
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + before_.size() + after_.size());
  if (options.add_special_tokens) ids = before_;
  scratch->spans.clear();
  in_text_->Find(text, options.special_tokens_as_text, scratch->spans);
  absl::Status status;
  for (size_t i = 0; i < scratch->spans.size() && status.ok(); ++i) {
    const TextSpan span = scratch->spans[i];
    if (span.id >= 0) {
      ids.push_back(span.id);
    } else {
      status = EncodeBetweenTokens(span.text, options.special_tokens_as_text, *scratch, ids);
    }
  }
  if (options.add_special_tokens) ids.insert(ids.end(), after_.begin(), after_.end());
  {
    absl::MutexLock lock(&mutex_);
    idle_.push_back(std::move(scratch));
  }
  if (!status.ok()) return status;
  return ids;
}

absl::Status BpeTokenizer::EncodeBetweenTokens(std::string_view text, bool special_tokens_as_text, Scratch& scratch,
                                               std::vector<int32_t>& ids) const {
  if (nfc_) text = ToNfc(text, scratch.normalized);
  if (in_normalized_->empty()) return Divide(text, 0, scratch, ids);
  scratch.normalized_spans.clear();
  in_normalized_->Find(text, special_tokens_as_text, scratch.normalized_spans);
  for (const TextSpan& span : scratch.normalized_spans) {
    if (span.id >= 0) {
      ids.push_back(span.id);
    } else {
      TANDEM_RETURN_IF_ERROR(Divide(span.text, 0, scratch, ids));
    }
  }
  return absl::OkStatus();
}

absl::Status BpeTokenizer::Divide(std::string_view text, size_t split, Scratch& scratch,
                                  std::vector<int32_t>& ids) const {
  if (split == prefix_space_before_ && !text.starts_with(' ')) {
    scratch.prefixed.assign(1, ' ').append(text);
    text = scratch.prefixed;
  }
  if (split == splits_.size()) {
    EncodeWord(text, scratch, ids);
    return absl::OkStatus();
  }
  const auto part = [&](std::string_view word) {
    // The last pattern, mostly the only one, calls nothing between it and the word.
    if (split + 1 < splits_.size() || split + 1 == prefix_space_before_) return Divide(word, split + 1, scratch, ids);
    EncodeWord(word, scratch, ids);
    return absl::OkStatus();
  };
  return splits_[split].Divide(text, scratch.matcher, part);
}

void BpeTokenizer::EncodeWord(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const {
  if (word.size() == 1) {
    ids.push_back(byte_ids_[static_cast<uint8_t>(word[0])]);
    return;
  }
  const bool short_word = word.size() <= WordCache::kLongestWord;
  WordCache::Key key;
  if (short_word) {
    key = WordCache::KeyOf(word);
    if (const auto known = scratch.cache.Find(key); !known.empty()) {
      ids.insert(ids.end(), known.begin(), known.end());
      return;
    }
  }
  std::span<const int32_t> merged;
  if (const auto token = ignore_merges_ ? ids_.find(word) : ids_.end(); token != ids_.end()) {
    merged = {&token->second, 1};
  } else {
    scratch.symbols.clear();
    for (const char c : word) scratch.symbols.push_back(byte_ids_[static_cast<uint8_t>(c)]);
    merged = scratch.merger.Merge(scratch.symbols);
  }
  ids.insert(ids.end(), merged.begin(), merged.end());
  if (short_word) scratch.cache.Keep(key, merged);
}

}  // namespace tandem
