// Ids and texts as Hugging Face's `tokenizers` gives them: tests/parity/make_tokenizer_goldens.py writes the files.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "policy/tokenizer/open_tokenizer.h"
#include "policy/tokenizer/stream_decoder.h"
#include "policy/tokenizer/utf8.h"

namespace tandem {
namespace {

class BpeGoldensTest : public testing::TestWithParam<const char*> {};

TEST_P(BpeGoldensTest, GivesTheIdsAndTextsOfTokenizers) {
  const std::string folder = std::string("tests/policy/tokenizer/goldens/") + GetParam();
  const auto tokenizer = OpenTokenizer(folder);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  std::ifstream file(folder + "/goldens.jsonl");
  int encoded = 0, decoded = 0;
  std::vector<int32_t> ids;
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json golden = nlohmann::json::parse(line);
    if (golden.size() == 4) {  // text, add_special_tokens, special_tokens_as_text, ids
      const auto given = (*tokenizer)
                             ->Encode(golden[0].get<std::string>(),
                                      {.add_special_tokens = golden[1], .special_tokens_as_text = golden[2]});
      ASSERT_TRUE(given.ok()) << given.status() << " " << line;
      ids = golden[3].get<std::vector<int32_t>>();
      ASSERT_EQ(*given, ids) << line;
      ++encoded;
    } else {  // ids (null: those before), keep_special_tokens, text
      if (!golden[0].is_null()) ids = golden[0].get<std::vector<int32_t>>();
      const DecodeOptions options{.keep_special_tokens = golden[1]};
      ASSERT_EQ(Utf8Lossy((*tokenizer)->Decode(ids, options)), golden[2].get<std::string>()) << line;
      StreamDecoder stream(**tokenizer, options);
      std::string streamed;
      for (const int32_t id : ids) streamed += stream.Push(id);
      ASSERT_EQ(streamed + stream.Finish(), golden[2].get<std::string>()) << line;
      ++decoded;
    }
  }
  EXPECT_GE(encoded, 200);
  EXPECT_GE(decoded, 200);
}

INSTANTIATE_TEST_SUITE_P(Families, BpeGoldensTest, testing::Values("qwen2", "qwen3", "llama3", "gpt2", "odd"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace tandem
