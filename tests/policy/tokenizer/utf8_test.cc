#include "policy/tokenizer/utf8.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

using namespace std::string_literals;

TEST(Utf8Test, FindsTheFirstByteThatIsNot) {
  constexpr auto kNone = std::string_view::npos;
  EXPECT_EQ(FirstInvalidUtf8(""), kNone);
  EXPECT_EQ(FirstInvalidUtf8("plain ASCII, more than eight bytes of it\x7f"), kNone);
  EXPECT_EQ(FirstInvalidUtf8("\0 é € 😀 \uFFFF \U0010FFFF"s), kNone);
  EXPECT_EQ(FirstInvalidUtf8("12345678\x80"), 8u);
  EXPECT_EQ(FirstInvalidUtf8("a\xC0\x80"), 1u);         // overlong
  EXPECT_EQ(FirstInvalidUtf8("\xE0\x9F\xBF"), 0u);      // overlong
  EXPECT_EQ(FirstInvalidUtf8("é\xED\xA0\x80"), 2u);     // a surrogate
  EXPECT_EQ(FirstInvalidUtf8("\xF4\x90\x80\x80"), 0u);  // beyond U+10FFFF
  EXPECT_EQ(FirstInvalidUtf8("abc\xE2\x82"), 3u);       // cut
  EXPECT_EQ(FirstInvalidUtf8("abcdefgh\xF0\x9F\x98 "), 8u);
}

TEST(Utf8Test, ReplacesEachLongestPartThatBeginsNoCharacter) {
  EXPECT_EQ(Utf8Lossy("é€"), "é€");
  // The example of the Unicode Standard, table 3-11: 61 F1 80 80 E1 80 C2 62 80 63 80 BF 64.
  EXPECT_EQ(Utf8Lossy("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64"),
            "a\uFFFD\uFFFD\uFFFDb\uFFFDc\uFFFD\uFFFDd");
  EXPECT_EQ(Utf8Lossy("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");  // a surrogate is no beginning
  EXPECT_EQ(Utf8Lossy("a\xF0\x9F\x98"), "a\uFFFD");
}

}  // namespace
}  // namespace tandem
