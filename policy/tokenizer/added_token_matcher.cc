#include "policy/tokenizer/added_token_matcher.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace tandem {
namespace {

bool IsSpace(UChar32 c) { return u_hasBinaryProperty(c, UCHAR_WHITE_SPACE); }

// What the regex crate of Rust has for \w (UTS #18, annex C).
bool IsWord(UChar32 c) {
  return u_hasBinaryProperty(c, UCHAR_ALPHABETIC) || u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL) ||
         (U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

bool BeginsWithWord(std::string_view text) {
  if (text.empty()) return false;
  size_t at = 0;
  UChar32 c;
  U8_NEXT(text.data(), at, text.size(), c);
  return IsWord(c);
}

bool EndsWithWord(std::string_view text) {
  if (text.empty()) return false;
  auto at = static_cast<int32_t>(text.size());
  UChar32 c;
  U8_PREV(text.data(), 0, at, c);
  return IsWord(c);
}

// Where the whitespace at the end of the text begins.
size_t SpaceAtEnd(std::string_view text) {
  auto at = static_cast<int32_t>(text.size());
  while (at > 0) {
    const int32_t end = at;
    UChar32 c;
    U8_PREV(text.data(), 0, at, c);
    if (!IsSpace(c)) return static_cast<size_t>(end);
  }
  return 0;
}

// Where the whitespace at the start of the text ends.
size_t SpaceAtStart(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t begin = at;
    UChar32 c;
    U8_NEXT(text.data(), at, text.size(), c);
    if (!IsSpace(c)) return begin;
  }
  return at;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  first_.fill(-1);
  for (size_t i = 0; i < tokens_.size(); ++i) {
    int32_t node = -1;
    for (const char c : tokens_[i].content) {
      const auto byte = static_cast<uint8_t>(c);
      int32_t child = Child(node, byte);
      if (child < 0) {
        child = static_cast<int32_t>(nodes_.size());
        int32_t& head = node < 0 ? first_[byte] : nodes_[node].first_child;
        const int32_t sibling = std::exchange(head, child);
        nodes_.push_back({.byte = byte, .next_sibling = sibling});
      }
      node = child;
    }
    nodes_[node].token = static_cast<int32_t>(i);
  }
  const auto begins = [](int32_t node) { return node >= 0; };
  if (std::count_if(first_.begin(), first_.end(), begins) == 1) {
    only_first_ = static_cast<int>(std::find_if(first_.begin(), first_.end(), begins) - first_.begin());
  }
}

int32_t AddedTokenMatcher::Child(int32_t node, uint8_t byte) const {
  if (node < 0) return first_[byte];
  int32_t child = nodes_[node].first_child;
  while (child >= 0 && nodes_[child].byte != byte) child = nodes_[child].next_sibling;
  return child;
}

int32_t AddedTokenMatcher::LongestAt(std::string_view text, size_t at) const {
  int32_t longest = -1;
  for (int32_t node = -1; at < text.size(); ++at) {
    node = Child(node, static_cast<uint8_t>(text[at]));
    if (node < 0) break;
    if (nodes_[node].token >= 0) longest = nodes_[node].token;
  }
  return longest;
}

void AddedTokenMatcher::Find(std::string_view text, bool special_tokens_as_text, std::vector<TextSpan>& spans) const {
  size_t done = 0;  // up to here it is in `spans`
  for (size_t at = 0; at < text.size() && !tokens_.empty();) {
    if (only_first_ >= 0) {
      const void* next = std::memchr(text.data() + at, only_first_, text.size() - at);
      if (next == nullptr) break;
      at = static_cast<size_t>(static_cast<const char*>(next) - text.data());
    }
    const int32_t found = LongestAt(text, at);
    if (found < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[found];
    size_t begin = at, end = at + token.content.size();
    at = end;
    if (special_tokens_as_text && token.special) continue;
    if (token.single_word && (EndsWithWord(text.substr(0, begin)) || BeginsWithWord(text.substr(end)))) continue;
    if (token.lstrip) begin = std::max(SpaceAtEnd(text.substr(0, begin)), done);
    if (token.rstrip) end += SpaceAtStart(text.substr(end));
    if (done < begin) spans.push_back({text.substr(done, begin - done), -1});
    spans.push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  if (done < text.size()) spans.push_back({text.substr(done), -1});
}

}  // namespace tandem
