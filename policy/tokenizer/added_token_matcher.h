// Where the added tokens of a tokenizer stand in a text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "policy/tokenizer/tokenizer_file.h"

namespace tandem {

// A part of a text: one added token, or what lies between two.
struct TextSpan {
  std::string_view text;
  int32_t id;  // of the token; -1 for what lies between
};

// Immutable.
class AddedTokenMatcher {
 public:
  // Looks for these tokens, of which none is empty and no two are the same.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }

  // The parts of a UTF-8 text in order, none of them empty, as `tokenizers` finds them: from the left, at each place
  // the longest token; one that may not stand there (single_word), and a special one when these are text, is passed
  // over whole. lstrip and rstrip give a token the whitespace beside it.
  void Find(std::string_view text, bool special_tokens_as_text, std::vector<TextSpan>& spans) const;

 private:
  // A trie of the tokens' bytes.
  struct Node {
    uint8_t byte = 0;
    int32_t token = -1;  // that ends here
    int32_t first_child = -1, next_sibling = -1;
  };
  int32_t Child(int32_t node, uint8_t byte) const;
  int32_t LongestAt(std::string_view text, size_t at) const;  // -1: none begins there

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<int32_t, 256> first_;  // node of a first byte; -1: no token begins with it
  int only_first_ = -1;             // the byte that all of them begin with; -1: they differ
};

}  // namespace tandem
