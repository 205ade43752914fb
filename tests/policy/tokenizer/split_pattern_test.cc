#include "policy/tokenizer/split_pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<std::vector<std::string>> Parts(const std::string& pattern, const std::string& text) {
  absl::StatusOr<SplitPattern> split = SplitPattern::Compile(pattern, "file: field");
  if (!split.ok()) return split.status();
  SplitPattern::Scratch scratch;
  std::vector<std::string> parts;
  const absl::Status status = split->Divide(text, scratch, [&](std::string_view part) {
    parts.emplace_back(part);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return parts;
}

TEST(SplitPatternTest, GivesMatchesAndWhatLiesBetween) {
  EXPECT_THAT(*Parts("[0-9]+", "ab12c3"), ElementsAre("ab", "12", "c", "3"));
  EXPECT_THAT(*Parts("[0-9]+", "ab"), ElementsAre("ab"));
  EXPECT_THAT(*Parts("[0-9]+", ""), ElementsAre());
  EXPECT_THAT(*Parts(R"(\p{Lu}\p{Ll}*)", "ÄpfelÖl日本Ab"), ElementsAre("Äpfel", "Öl", "日本", "Ab"));
  // Look-behind sees what was divided off before.
  EXPECT_THAT(*Parts("(?<=a)b|a", "abb"), ElementsAre("a", "b", "b"));
}

TEST(SplitPatternTest, SpacesAreUnicodesWhiteSpace) {
  // U+0085 and U+3000 are; U+180E is not, since Unicode 6.3.
  EXPECT_THAT(*Parts(R"(\s+)", "a\u0085\u3000b\u180Ec"), ElementsAre("a", "\u0085\u3000", "b\u180Ec"));
}

TEST(SplitPatternTest, APatternThatCannotBeUsedIsNamed) {
  EXPECT_THAT(std::string(Parts("a*", "b").status().message()), HasSubstr("file: field: matches the empty text"));
  EXPECT_THAT(std::string(Parts("[z-a]", "b").status().message()), HasSubstr("file: field: range out of order"));
  EXPECT_THAT(std::string(Parts("(((a{1,60000}){1,60000}){1,60000})", "b").status().message()),
              HasSubstr("file: field: "));
  EXPECT_THAT(std::string(Parts(std::string(10001, 'a'), "b").status().message()), HasSubstr("has 10001 bytes"));
  EXPECT_THAT(std::string(Parts(std::string(5000, '(') + "a" + std::string(5000, ')'), "a").status().message()),
              HasSubstr("file: field: "));
}

TEST(SplitPatternTest, APatternThatBlowsUpIsAnErrorNotACrash) {
  const absl::Status status = Parts("(?:a+a+)+[bc]", std::string(5000, 'a')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("file: field: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("at byte 0 of a text of 5000"));
}

TEST(SplitPatternTest, LongRunsAreNoBlowUp) {
  const char* qwen2 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  for (const char* run : {" ", "a", "\n", "=", "日", "\t \n"}) {
    std::string text;
    while (text.size() < 1'000'000) text += run;
    const auto parts = Parts(qwen2, text + "x");
    ASSERT_TRUE(parts.ok()) << parts.status();
    EXPECT_LE(parts->size(), 4u);
  }
}

TEST(SplitPatternTest, TheFirstErrorEndsIt) {
  const absl::StatusOr<SplitPattern> split = SplitPattern::Compile("a", "here");
  SplitPattern::Scratch scratch;
  int calls = 0;
  const absl::Status status = split->Divide("bab", scratch, [&](std::string_view) {
    ++calls;
    return absl::InternalError("stop");
  });
  EXPECT_EQ(status.message(), "stop");
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace tandem
