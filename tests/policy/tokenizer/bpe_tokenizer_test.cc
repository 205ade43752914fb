#include "policy/tokenizer/bpe_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/policy/tokenizer/tokenizer_files.h"

namespace tandem {
namespace {

using nlohmann::json;
using testing::ElementsAre;

std::unique_ptr<BpeTokenizer> Loaded(const json& file) {
  TokenizerFolder folder;
  folder.Write("tokenizer.json", file.dump());
  auto tokenizer = BpeTokenizer::Load(folder.file("tokenizer.json"), "<end>");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

TEST(BpeTokenizerTest, MergesInTheOrderOfTheFile) {
  const auto tokenizer = Loaded(SmallTokenizer());
  EXPECT_EQ(tokenizer->vocabulary(), 260);
  EXPECT_EQ(tokenizer->end_id(), 259);
  EXPECT_THAT(*tokenizer->Encode("abcbc"), ElementsAre(257, 258));
  EXPECT_THAT(*tokenizer->Encode("ab c<end>bc"), ElementsAre(256, ' ', 'c', 259, 258));
  EXPECT_THAT(*tokenizer->Encode("ä"), ElementsAre(0xC3, 0xA4));
  EXPECT_THAT(*tokenizer->Encode(""), ElementsAre());
}

TEST(BpeTokenizerTest, AWordThatIsATokenIsNotMergedWhenTheFileSaysSo) {
  json file = SmallTokenizer();
  file["model"]["vocab"]["cab"] = 259;  // no merge makes it
  file["added_tokens"][0]["id"] = 260;
  EXPECT_THAT(*Loaded(file)->Encode("cab cab"), ElementsAre('c', 256, ' ', 'c', 256));
  file["model"]["ignore_merges"] = true;
  EXPECT_THAT(*Loaded(file)->Encode("cab ab"), ElementsAre(259, ' ', 256));
}

TEST(BpeTokenizerTest, NamesAndIds) {
  const auto tokenizer = Loaded(SmallTokenizer());
  EXPECT_EQ(tokenizer->TokenId("<end>"), 259);
  EXPECT_EQ(tokenizer->TokenId("abc"), 257);
  EXPECT_EQ(tokenizer->TokenId("Ġ"), ' ');
  EXPECT_EQ(tokenizer->TokenId(" "), std::nullopt);
  EXPECT_EQ(tokenizer->TokenId("日"), std::nullopt);
  EXPECT_TRUE(tokenizer->Special(259));
  EXPECT_FALSE(tokenizer->Special(257));
  EXPECT_FALSE(tokenizer->Special(-1));
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{257, 259, -5, 100000, 258}), "abcbc");
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{257, 259}, {.keep_special_tokens = true}), "abc<end>");
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{0xC3}), "\xC3");
}

TEST(BpeTokenizerTest, SpecialTokensAroundAndWithinTexts) {
  json file = SmallTokenizer();
  file["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single",
       {{{"SpecialToken", {{"id", "<end>"}}}}, {{"Sequence", {{"id", "A"}}}}, {{"SpecialToken", {{"id", "two"}}}}}},
      {"special_tokens", {{"<end>", {{"ids", {259}}}}, {"two", {{"ids", {256, 257}}}}}}};
  const auto tokenizer = Loaded(file);
  EXPECT_THAT(*tokenizer->Encode("c"), ElementsAre('c'));
  EXPECT_THAT(*tokenizer->Encode("c", {.add_special_tokens = true}), ElementsAre(259, 'c', 256, 257));
  EXPECT_THAT(*tokenizer->Encode("<end>", {.special_tokens_as_text = true}), ElementsAre('<', 'e', 'n', 'd', '>'));
}

TEST(BpeTokenizerTest, ManyThreadsGetWhatOneGets) {
  const auto tokenizer = Loaded(SmallTokenizer());
  std::string text;
  for (int i = 0; i < 3000; ++i) text += std::to_string(i * i) + (i % 3 == 0 ? " abc" : " bcab ");
  const std::vector<int32_t> expected = *tokenizer->Encode(text);
  std::vector<std::thread> threads;
  std::vector<int> right(4, 0);
  for (int& count : right) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) count += *tokenizer->Encode(text) == expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(right, ElementsAre(20, 20, 20, 20));
}

}  // namespace
}  // namespace tandem
