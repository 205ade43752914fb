#include "policy/tokenizer/added_token_matcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

using testing::ElementsAre;

AddedToken Token(int32_t id, std::string content) { return {.id = id, .content = std::move(content)}; }

// "text" or "ID=text".
std::vector<std::string> Found(const std::vector<AddedToken>& tokens, std::string_view text, bool as_text = false) {
  std::vector<TextSpan> spans;
  AddedTokenMatcher(tokens).Find(text, as_text, spans);
  std::vector<std::string> shown;
  for (const TextSpan& span : spans) {
    shown.push_back(absl::StrCat(span.id < 0 ? "" : absl::StrCat(span.id, "="), std::string(span.text)));
  }
  return shown;
}

TEST(AddedTokenMatcherTest, TakesTheLongestFromTheLeft) {
  const std::vector<AddedToken> tokens = {Token(1, "<a"), Token(2, "<ab>"), Token(3, "b>"), Token(4, "é")};
  EXPECT_THAT(Found(tokens, "x<ab>y<ab<a>éb>"),
              ElementsAre("x", "2=<ab>", "y", "1=<a", "b", "1=<a", ">", "4=é", "3=b>"));
  EXPECT_THAT(Found(tokens, ""), ElementsAre());
  EXPECT_THAT(Found(tokens, "<<"), ElementsAre("<<"));
  EXPECT_THAT(Found({}, "<a"), ElementsAre("<a"));
}

TEST(AddedTokenMatcherTest, StripsWhitespaceOnTheSidesThatAreAskedFor) {
  AddedToken left = Token(1, "<l>"), right = Token(2, "<r>");
  left.lstrip = true;
  right.rstrip = true;
  EXPECT_THAT(Found({left, right}, "a \n<l> b \u3000<r>\u3000\t c"),
              ElementsAre("a", "1= \n<l>", " b \u3000", "2=<r>\u3000\t ", "c"));
  // What one token has taken the next one cannot take again.
  EXPECT_THAT(Found({left, right}, "<r>  <l>"), ElementsAre("2=<r>  ", "1=<l>"));
  EXPECT_THAT(Found({left, right}, "  <l><r>  "), ElementsAre("1=  <l>", "2=<r>  "));
}

TEST(AddedTokenMatcherTest, SingleWordsStandAlone) {
  AddedToken word = Token(1, "is");
  word.single_word = true;
  EXPECT_THAT(Found({word}, "is this is_ -is- is"), ElementsAre("1=is", " this is_ -", "1=is", "- ", "1=is"));
  EXPECT_THAT(Found({word}, "isé isis"), ElementsAre("isé isis"));
}

TEST(AddedTokenMatcherTest, SpecialTokensCanBeText) {
  AddedToken special = Token(1, "<s>");
  special.special = true;
  EXPECT_THAT(Found({special, Token(2, "<t>")}, "<s><t>"), ElementsAre("1=<s>", "2=<t>"));
  EXPECT_THAT(Found({special, Token(2, "<t>")}, "<s><t>", /*as_text=*/true), ElementsAre("<s>", "2=<t>"));
}

}  // namespace
}  // namespace tandem
