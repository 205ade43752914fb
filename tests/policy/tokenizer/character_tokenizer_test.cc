#include "policy/tokenizer/character_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/tokenizer/open_tokenizer.h"
#include "tests/policy/tokenizer/tokenizer_files.h"

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

TEST(TokenizerTest, NamesAndBytesOfCharacters) {
  const auto t = CharacterTokenizer::Create("ab");
  EXPECT_EQ(t->end_id(), 0);
  EXPECT_EQ(t->TokenId("b"), 2);
  EXPECT_EQ(t->TokenId(CharacterTokenizer::kEndName), 0);
  EXPECT_EQ(t->TokenId("c"), std::nullopt);
  EXPECT_EQ(t->Decode(std::vector<int32_t>{1, 0, 2, 9}, {.keep_special_tokens = true}), "a⟨end⟩b");
}

TEST(TokenizerTest, ComesBackFromItsJson) {
  TokenizerFolder folder;
  std::string all;
  for (char c = ' '; c <= '~'; ++c) all += c;
  for (const std::string& alphabet : {all, std::string("0123456789+-*=;AB "), std::string("\"\\")}) {
    const auto t = CharacterTokenizer::Create(alphabet);
    folder.Write("tokenizer.json", t->Json());
    const auto opened = OpenTokenizer(folder.path());
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ((*opened)->vocabulary(), t->vocabulary());
    EXPECT_EQ(*(*opened)->Encode(alphabet), *t->Encode(alphabet));
    EXPECT_EQ((*opened)->end_id(), CharacterTokenizer::kEnd);
  }
  nlohmann::json other = nlohmann::json::parse(CharacterTokenizer::Create("ab")->Json());
  other["pre_tokenizer"]["pattern"]["Regex"] = "..";
  folder.Write("tokenizer.json", other.dump());
  EXPECT_THAT(std::string(OpenTokenizer(folder.path()).status().message()),
              testing::HasSubstr("tokenizer.json: pre_tokenizer: is not what Tandem writes"));
}

}  // namespace
}  // namespace tandem
