#include "policy/chat/jinja_outline.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"

namespace tandem {
namespace {

// A string, or one character that is not in one.
struct JinjaToken {
  bool string;
  std::string text;
};

bool IsName(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

std::string Unescaped(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      plain += text[i];
      continue;
    }
    const char c = text[++i];
    if (c == 'n') {
      plain += '\n';
    } else if (c == 't') {
      plain += '\t';
    } else if (c == '\\' || c == '\'' || c == '"') {
      plain += c;
    } else {
      plain += {'\\', c};
    }
  }
  return plain;
}

std::string Quoted(std::string_view text) {
  return absl::StrCat(
      "\"", absl::StrReplaceAll(std::string(text), {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}, {"\t", "\\t"}}),
      "\"");
}

absl::StatusOr<std::vector<JinjaToken>> Tokens(std::string_view inner) {
  std::vector<JinjaToken> tokens;
  for (size_t at = 0; at < inner.size(); ++at) {
    const char c = inner[at];
    if (c == '\'' || c == '"') {
      const size_t begin = at + 1;
      for (++at; at < inner.size() && inner[at] != c; ++at) at += inner[at] == '\\' ? 1 : 0;
      if (at >= inner.size()) return absl::InvalidArgumentError("a string does not end");
      tokens.push_back({true, Unescaped(inner.substr(begin, at - begin))});
    } else if (!absl::ascii_isspace(c)) {
      tokens.push_back({false, std::string(1, c)});
    }
  }
  return tokens;
}

// The inside of a tag.
absl::StatusOr<std::string> Outline(std::string_view inner) {
  TANDEM_ASSIGN_OR_RETURN(std::vector<JinjaToken> tokens, Tokens(inner));
  const auto is = [&](size_t at, std::string_view text) {
    return at < tokens.size() && !tokens[at].string && tokens[at].text == text;
  };
  std::string out;
  for (size_t at = 0; at < tokens.size(); ++at) {
    if (is(at, "[") && is(at + 2, "]") && tokens[at + 1].string && IsName(tokens[at + 1].text)) {
      absl::StrAppend(&out, ".", tokens[at + 1].text);
      at += 2;
    } else if (tokens[at].string && is(at + 1, "+") && at + 2 < tokens.size() && tokens[at + 2].string &&
               !is(at + 3, "|") && !is(at + 3, ".") && !is(at + 3, "[")) {
      tokens[at + 2].text.insert(0, tokens[at].text);
      ++at;
    } else {
      out += tokens[at].string ? Quoted(tokens[at].text) : tokens[at].text;
    }
  }
  return out;
}

// A tag: where it stands, and what its dashes do to the text beside it.
struct JinjaTag {
  char kind = '\0';  // '{', '%' or '#'; none at the end of the template
  size_t begin = 0, end = 0;
  bool strips_before = false, strips_after = false;
  std::string_view inner;
  bool block() const { return kind == '%' || kind == '#'; }
};

// The first tag at or after `at`.
absl::StatusOr<JinjaTag> NextTag(std::string_view text, size_t at) {
  JinjaTag tag;
  while (at < text.size() && !(text[at] == '{' && at + 1 < text.size() &&
                               std::string_view("{%#").find(text[at + 1]) != std::string_view::npos)) {
    ++at;
  }
  tag.begin = tag.end = at;
  if (at == text.size()) return tag;
  tag.kind = text[at + 1];
  const std::string close = {tag.kind == '{' ? '}' : tag.kind, '}'};
  size_t end = at + 2;
  for (char quote = '\0'; end < text.size() && (quote != '\0' || text.substr(end, 2) != close); ++end) {
    if (tag.kind == '#') continue;
    const char c = text[end];
    if (quote != '\0' && c == '\\') ++end;
    if (quote == '\0' ? c == '\'' || c == '"' : c == quote) quote = quote == '\0' ? c : '\0';
  }
  if (end >= text.size()) return absl::InvalidArgumentError("a tag does not end");
  tag.end = end + 2;
  tag.inner = text.substr(at + 2, end - at - 2);
  tag.strips_before = tag.inner.starts_with('-');
  if (tag.strips_before) tag.inner.remove_prefix(1);
  tag.strips_after = tag.inner.ends_with('-');
  if (tag.strips_after) tag.inner.remove_suffix(1);
  return tag;
}

// What is output of the text between two tags.
std::string_view Remaining(std::string_view text, bool first, const JinjaTag& before, const JinjaTag& after) {
  constexpr std::string_view kSpaces = " \t\r\n\f\v";
  bool line_start = first;
  if (before.strips_after) {
    text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
  } else if (before.block() && text.starts_with('\n')) {  // trim_blocks
    text.remove_prefix(1);
    line_start = true;
  }
  if (after.strips_before) return text.substr(0, text.find_last_not_of(kSpaces) + 1);
  const size_t line = text.substr(0, text.find_last_not_of(" \t") + 1).size();  // without the spaces of the last line
  const bool only_spaces = line == 0 ? line_start : text[line - 1] == '\n';
  return after.block() && only_spaces ? text.substr(0, line) : text;  // lstrip_blocks
}

}  // namespace

absl::StatusOr<std::string> JinjaOutline(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);  // as Jinja does
  std::string out;
  for (JinjaTag before;;) {
    TANDEM_ASSIGN_OR_RETURN(const JinjaTag tag, NextTag(text, before.end));
    const std::string_view literal =
        Remaining(text.substr(before.end, tag.begin - before.end), before.end == 0, before, tag);
    if (!literal.empty()) absl::StrAppend(&out, "[", std::string(literal), "]");
    if (tag.kind == '\0') return out;
    if (tag.kind != '#') {
      TANDEM_ASSIGN_OR_RETURN(const std::string inner, Outline(tag.inner));
      absl::StrAppend(&out, tag.kind == '{' ? "{{" : "{%", inner, tag.kind == '{' ? "}}" : "%}");
    }
    before = tag;
  }
}

std::string OutlinedString(std::string_view outline, size_t& at) {
  const size_t begin = ++at;
  for (; at < outline.size() && outline[at] != '"'; ++at) at += outline[at] == '\\' ? 1 : 0;
  const std::string text = Unescaped(outline.substr(begin, std::min(at, outline.size()) - begin));
  ++at;
  return text;
}

}  // namespace tandem
