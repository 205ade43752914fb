#include "policy/tokenizer/regex_dialect.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(RegexDialectTest, SaysSpacesAndCategoriesInPcre2sWords) {
  EXPECT_EQ(*OnigurumaToPcre2(R"(\s+(?!\S)|\d)"), R"([\t-\r\x{85}\p{Z}]+(?![^\t-\r\x{85}\p{Z}])|\p{Nd})");
  EXPECT_EQ(*OnigurumaToPcre2(R"([^\r\n\p{L}\p{N}]?\p{L}+)"), R"([^\r\nA-Za-z\p{L}0-9\p{N}]?\p{L}+)");
  EXPECT_EQ(*OnigurumaToPcre2(R"((?i:'s|'LL)(a)\u4e00\v\-)"), R"((?i:'s|'LL)(?:a)\x{4e00}\x{0B}\-)");
  EXPECT_EQ(*OnigurumaToPcre2(R"([^\s]?+a*?.{1,3}é)"), R"([^\t-\r\x{85}\p{Z}]?+a*?.{1,3}é)");
}

TEST(RegexDialectTest, RefusesWhatItCannotSayExactly) {
  const std::pair<const char*, const char*> refused[] = {
      {R"(a\b)", R"(column 2: '\b')"},
      {R"(\w+)", R"('\w')"},
      {R"(\h)", R"('\h')"},  // hexadecimal digits there, horizontal spaces here
      {R"(\p{Han})", R"(the property '\p{Han}')"},
      {R"(\p{L)", "the property"},
      {R"([a&&b])", "'&' within a class"},
      {R"([[:alpha:]])", "'[' within a class"},
      {R"([\S])", R"('\S')"},
      {R"([])", "within a class"},
      {R"([a)", "a [ without ]"},
      {R"((?i)a)", "'(?i)'"},
      {R"((?<name>a))", "'(?<n'"},
      {R"((?#x))", "'(?#x'"},
      {R"((*LIMIT_MATCH=1)a)", "'(*LI'"},
      {R"((?i:straße))", "'st' within (?i:"},
      {R"((?i:\p{Lu}))", "a property within (?i:"},
      {R"((?i:é))", "beyond ASCII within (?i:"},
      {"a{1}+", "a quantifier of a quantifier"},
      {"a{,3}", "this {"},
      {"a{", "this {"},
      {"a+++", "a quantifier of a quantifier"},
      {"^a", "'^'"},
      {"a$", "'$'"},
      {"(a", "a ( without )"},
      {"a)", "a ) without ("},
      {"(", "a ( without )"},
      {"\\", "is not supported"},
      {R"(\u12)", "this \\u"},
      {R"(\K)", R"('\K')"},
      {R"(\1)", R"('\1')"},
  };
  for (const auto& [pattern, expected] : refused) {
    const absl::StatusOr<std::string> translated = OnigurumaToPcre2(pattern);
    ASSERT_FALSE(translated.ok()) << pattern << " became " << *translated;
    EXPECT_NE(std::string(translated.status().message()).find(expected), std::string::npos)
        << pattern << ": " << translated.status().message();
  }
}

}  // namespace
}  // namespace tandem
