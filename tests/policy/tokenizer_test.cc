#include "policy/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(TokenizerTest, IdsFollowTheCharactersCodesAfterTheEnd) {
  const auto t = CharacterTokenizer::Create("cab+");
  ASSERT_TRUE(t.ok());
  EXPECT_EQ(t->vocabulary(), 5);
  EXPECT_EQ(t->Encode("+abc").value(), (std::vector<int32_t>{1, 2, 3, 4}));
  EXPECT_EQ(t->Character(1), '+');
  EXPECT_EQ(t->Character(CharacterTokenizer::kEnd), '\0');
}

TEST(TokenizerTest, TextComesBackWithoutTheEnd) {
  const auto t = CharacterTokenizer::Create("0123456789+-*=;AB ");
  ASSERT_TRUE(t.ok());
  std::vector<int32_t> ids = t->Encode("A=3+4;B=A*2").value();
  ids.push_back(CharacterTokenizer::kEnd);
  EXPECT_EQ(t->Decode(ids), "A=3+4;B=A*2");
  EXPECT_EQ(t->Encode("").value().size(), 0u);
}

TEST(TokenizerTest, RepeatedCharactersCountOnceAndOrderDoesNotMatter) {
  const auto a = CharacterTokenizer::Create("aabba"), b = CharacterTokenizer::Create("ba");
  EXPECT_EQ(a->vocabulary(), 3);
  EXPECT_EQ(a->Encode("ab").value(), b->Encode("ab").value());
}

TEST(TokenizerTest, BadInputIsNamed) {
  EXPECT_THAT(std::string(CharacterTokenizer::Create("").status().message()), testing::HasSubstr("alphabet: empty"));
  EXPECT_THAT(std::string(CharacterTokenizer::Create("a\n").status().message()), testing::HasSubstr("byte 0x0a"));
  EXPECT_THAT(std::string(CharacterTokenizer::Create("a\xc3\xa9").status().message()), testing::HasSubstr("byte 0xa9"));
  const auto t = CharacterTokenizer::Create("ab");
  const absl::Status missing = t->Encode("abx").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(missing.message(), "'abx': the alphabet has no 'x'; it is 'ab'");
  EXPECT_DEATH(t->Character(3), "bug");
}

}  // namespace
}  // namespace tandem
