// What a tokenizer.json of Hugging Face's `tokenizers` says of a byte-level BPE, checked.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem {

// A token that is found in the text before anything else.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  // only where no letter, digit or mark stands beside it
  bool lstrip = false;       // takes the whitespace on its left with it
  bool rstrip = false;       // ... on its right
  bool normalized = false;   // is looked for in the normalized text, normalized itself
  bool special = false;
};

struct BpeMerge {
  int32_t left, right, merged;  // ids; its rank is its place in the list
};

struct TokenizerFile {
  std::string path;
  // model
  std::vector<std::pair<std::string, int32_t>> vocabulary;  // as spelled in the file, and the id: each once
  std::vector<BpeMerge> merges;
  bool ignore_merges = false;            // a word that is a token stays one, whatever the merges would make of it
  std::vector<AddedToken> added_tokens;  // each content and each id once
  // normalizer
  bool nfc = false;
  // pre_tokenizer: each pattern divides what the one before it left, then a space is put in front of each part that
  // has none (add_prefix_space), then GPT-2's own pattern divides (gpt2_split). Patterns are in Oniguruma's dialect.
  struct Split {
    std::string pattern;
    std::string field;  // "pre_tokenizer.pretokenizers[0].pattern.Regex"
  };
  std::vector<Split> splits;
  bool add_prefix_space = false;
  bool gpt2_split = false;
  // post_processor: what stands before and after a text when special tokens are asked for
  std::vector<int32_t> before, after;
};

// kNotFound, kPermissionDenied: no such file. kInvalidArgument: not JSON; not a byte-level BPE; something that would
// give other ids than those computed here (another normalizer, dropout, truncation, ...); ids out of range or repeated;
// merges of unknown tokens. Errors are one line with file and field.
absl::StatusOr<TokenizerFile> ReadTokenizerFile(const std::string& path);

}  // namespace tandem
