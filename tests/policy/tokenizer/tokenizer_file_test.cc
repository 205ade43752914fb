// Files that should not be believed.
#include "policy/tokenizer/tokenizer_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "policy/tokenizer/open_tokenizer.h"
#include "tests/policy/tokenizer/tokenizer_files.h"

namespace tandem {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

absl::Status Opened(const std::string& bytes) {
  TokenizerFolder folder;
  folder.Write("tokenizer.json", bytes);
  const absl::Status status = OpenTokenizer(folder.path()).status();
  // One line that names the file.
  if (!status.ok()) {
    EXPECT_THAT(std::string(status.message()), HasSubstr("/tokenizer.json: "));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
  }
  return status;
}

TEST(TokenizerFileTest, TheSmallTokenizerOpens) { EXPECT_EQ(Opened(SmallTokenizer().dump()), absl::OkStatus()); }

TEST(TokenizerFileTest, BytesThatAreNotJson) {
  for (const std::string bytes : {"", "{", "nonsense", "{\"version\": \"1.0\", }", "\xff\xfe", "{\"a\": \"\xC3\"}",
                                  "{\"a\": \"\\ud800\"}", "[1, 2", "1e999999"}) {
    EXPECT_EQ(Opened(bytes).code(), absl::StatusCode::kInvalidArgument) << bytes;
  }
  EXPECT_THAT(std::string(Opened("{\"version\" 1}").message()), HasSubstr("line 1, column"));
  EXPECT_FALSE(Opened(std::string(1'000'000, '[')).ok());
  EXPECT_FALSE(Opened(std::string(1'000'000, '[') + std::string(1'000'000, ']')).ok());
  const std::string whole = SmallTokenizer().dump();
  for (size_t size = 0; size < whole.size(); size += 97) EXPECT_FALSE(Opened(whole.substr(0, size)).ok());
}

TEST(TokenizerFileTest, AFileThatIsNotThere) {
  TokenizerFolder folder;
  const absl::Status status = OpenTokenizer(folder.path()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("tokenizer.json"));
}

TEST(TokenizerFileTest, AFileTooLargeToBeOneIsNotRead) {
  TokenizerFolder folder;
  folder.Write("tokenizer.json", "{");
  std::filesystem::resize_file(folder.file("tokenizer.json"), uint64_t{1} << 32);  // all of it a hole
  EXPECT_THAT(std::string(OpenTokenizer(folder.path()).status().message()),
              HasSubstr("tokenizer.json: has 4096 MB; expected at most 256"));
}

struct BadField {
  const char* pointer;   // what is set
  const char* value;     // to this JSON
  const char* expected;  // part of the error
};

TEST(TokenizerFileTest, EveryFieldThatWouldChangeIdsIsNamed) {
  const BadField fields[] = {
      {"/version", "\"2.0\"", "version: \"2.0\"; expected \"1.0\""},
      {"/truncation", R"({"max_length": 5})", "truncation: an object of 1; expected null"},
      {"/padding", R"({"strategy": {"Fixed": 9}})", "padding: an object of 1; expected null"},
      {"/model", "null", "model: missing; expected an object"},
      {"/model/type", "\"Unigram\"", "model.type: \"Unigram\"; expected \"BPE\""},
      {"/model/dropout", "0.1", "model.dropout: 0.1; expected null"},
      {"/model/continuing_subword_prefix", "\"##\"", "model.continuing_subword_prefix: \"##\"; expected null"},
      {"/model/end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix"},
      {"/model/ignore_merges", "1", "model.ignore_merges: 1; expected true or false"},
      {"/model/vocab", "[]", "model.vocab: a list of 0; expected an object"},
      {"/model/vocab", "{\"a\": 0}", "model.vocab: has no token"},
      {"/model/vocab/ab", "-1", "model.vocab['ab']: -1; expected an id"},
      {"/model/vocab/ab", "1.5", "model.vocab['ab']: 1.5; expected an id"},
      {"/model/vocab/ab", "4294967296", "model.vocab['ab']: 4294967296; expected an id, from 0 to 4194303"},
      {"/model/vocab/ab", "97", "id 97 is another token's already"},
      {"/model/vocab/ab", "\"256\"", "model.vocab['ab']: \"256\"; expected an id"},
      {"/model/merges", "{}", "model.merges: an object of 0; expected a list"},
      {"/model/merges/1", "\"ab  c\"", "model.merges[1]: \"ab  c\"; expected \"a b\""},
      {"/model/merges/1", "\"abc\"", "model.merges[1]: \"abc\""},
      {"/model/merges/1", "[\"a\"]", "model.merges[1]: a list of 1"},
      {"/model/merges/1", "7", "model.merges[1]: 7"},
      {"/model/merges/1", "\"ab xyz\"", "model.merges[1]: names 'xyz'; expected a token of model.vocab"},
      {"/model/merges/1", "\"b b\"", "model.merges[1]: names 'bb'"},
      {"/added_tokens", "7", "added_tokens: 7; expected a list"},
      {"/added_tokens/0", "7", "added_tokens[0]: 7; expected an object"},
      {"/added_tokens/0/content", "\"\"", "added_tokens[0].content"},
      {"/added_tokens/0/content", "5", "added_tokens[0].content: 5; expected text"},
      {"/added_tokens/0/lstrip", "\"no\"", "added_tokens[0].lstrip: \"no\"; expected true or false"},
      {"/added_tokens/0/id", "300", "added_tokens[0].id: 300 of '<end>'; expected 259"},
      {"/added_tokens/0/id", "1000000000", "added_tokens[0].id: 1000000000; expected an id"},
      {"/added_tokens/0/content", "\"ab\"", "added_tokens[0].id: 259 of 'ab'; expected 256, its id in model.vocab"},
      {"/added_tokens/1", R"({"id": 260, "content": "<end>"})", "added_tokens[1].content: '<end>' is there twice"},
      {"/normalizer", R"({"type": "Lowercase"})", "normalizer.type: \"Lowercase\"; expected \"NFC\""},
      {"/normalizer", R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFKC"}]})",
       "normalizer.normalizers[1].type: \"NFKC\""},
      {"/normalizer", R"({"type": "Sequence"})", "normalizer.normalizers: missing; expected a list"},
      {"/pre_tokenizer", "null", "pre_tokenizer: missing; expected ByteLevel"},
      {"/pre_tokenizer", R"({"type": "Whitespace"})", "pre_tokenizer.type: \"Whitespace\""},
      {"/pre_tokenizer", R"({"type": "ByteLevel"})", "pre_tokenizer.add_prefix_space: missing; expected true or false"},
      {"/pre_tokenizer/pretokenizers", "[]", ""},
      {"/decoder", "null", "decoder: missing; expected ByteLevel"},
      {"/decoder", R"({"type": "Metaspace"})", "decoder.type: \"Metaspace\""},
      {"/post_processor", R"({"type": "BertProcessing"})", "post_processor.type: \"BertProcessing\""},
      {"/post_processor", R"({"type": "TemplateProcessing", "single": []})", "post_processor.single: a list of 0"},
      {"/post_processor",
       R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>"}}, {"Sequence": {"id": "A"}}]})",
       "post_processor.special_tokens.<x>.ids: missing"},
      {"/post_processor",
       R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>"}}, {"Sequence": {"id": "A"}}],
           "special_tokens": {"<x>": {"ids": [77777]}}})",
       "post_processor: special_tokens: 77777 is not the id of a token"},
  };
  for (const BadField& field : fields) {
    json file = SmallTokenizer();
    file[json::json_pointer(field.pointer)] = json::parse(field.value);
    const absl::Status status = Opened(file.dump());
    if (std::string_view(field.expected).empty()) continue;  // it only must not crash
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field.pointer << " " << field.value;
    EXPECT_THAT(std::string(status.message()), HasSubstr(field.expected)) << field.pointer;
  }
}

TEST(TokenizerFileTest, SplitsThatCannotBeUsedAreNamed) {
  const auto with_split = [](json split) {
    json file = SmallTokenizer();
    const json bytes = file["pre_tokenizer"];
    file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {std::move(split), bytes}}};
    return std::string(Opened(file.dump()).message());
  };
  const auto split = [](const char* pattern) {
    return json{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  };
  EXPECT_EQ(with_split(split("a+")), "");
  EXPECT_THAT(with_split(split(R"(\w+)")), HasSubstr("pre_tokenizer.pretokenizers[0].pattern.Regex: column 1: '\\w'"));
  EXPECT_THAT(with_split(split("a*")), HasSubstr("pattern.Regex: matches the empty text"));
  EXPECT_THAT(with_split(split("[b-a]")), HasSubstr("pattern.Regex: range out of order"));
  json removed = split("a");
  removed["behavior"] = "Removed";
  EXPECT_THAT(with_split(removed), HasSubstr("pretokenizers[0].behavior: \"Removed\"; expected \"Isolated\""));
  json inverted = split("a");
  inverted["invert"] = true;
  EXPECT_THAT(with_split(inverted), HasSubstr("pretokenizers[0].invert: true; expected false"));
  json literal = split("a");
  literal["pattern"] = {{"String", "a"}};
  EXPECT_THAT(with_split(literal), HasSubstr("pretokenizers[0].pattern.Regex: missing; expected text"));
  EXPECT_THAT(with_split({{"type", "Sequence"}}), HasSubstr("expected no Sequence within a Sequence"));
}

TEST(TokenizerFileTest, APatternThatBlowsUpFailsTheTextOnly) {
  json file = SmallTokenizer();
  const json bytes = file["pre_tokenizer"];
  file["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"Regex", "(?:a+a+)+[bc]"}}}, {"behavior", "Isolated"}, {"invert", false}},
        bytes}}};
  TokenizerFolder folder;
  folder.Write("tokenizer.json", file.dump());
  const auto tokenizer = OpenTokenizer(folder.path());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const absl::Status status = (*tokenizer)->Encode(std::string(3000, 'a')).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("tokenizer.json: pre_tokenizer.pretokenizers[0].pattern.Regex: "));
  EXPECT_THAT(*(*tokenizer)->Encode("ab"), testing::ElementsAre(256));
}

// Whatever is in a file, it is an error or a tokenizer.
TEST(TokenizerFileTest, DamagedFilesAreErrorsOrTokenizers) {
  std::mt19937 random(9);
  json whole = SmallTokenizer();
  whole["normalizer"] = {{"type", "NFC"}};
  whole["added_tokens"][0]["rstrip"] = true;
  whole["pre_tokenizer"] = {{"type", "Sequence"},
                            {"pretokenizers",
                             {{{"type", "Split"},
                               {"pattern", {{"Regex", R"([^\s\p{L}]?\p{L}+(?!\S)|(?i:'s|'t)|\p{N}{1,3}| ?.)"}}},
                               {"behavior", "Isolated"},
                               {"invert", false}},
                              whole["pre_tokenizer"]}}};
  const std::string bytes = whole.dump();
  // Most of the file is the vocabulary; what lies outside of it is damaged more often.
  const size_t vocabulary = bytes.find("\"vocab\""), behind = bytes.find("\"normalizer\"");
  ASSERT_LT(vocabulary, behind);
  const std::string meaningful = "{}[]\",:0123456789abc\\+*?()|";
  TokenizerFolder folder;
  int opened = 0;
  for (int round = 0; round < 400; ++round) {
    std::string damaged = bytes;
    for (int i = 1 + static_cast<int>(random() % 2); i > 0; --i) {
      size_t at = random() % damaged.size();
      if (at > vocabulary && at < behind && random() % 8 != 0) at = behind + random() % (damaged.size() - behind);
      switch (random() % 4) {
        case 0:
          damaged[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          damaged[at] = meaningful[random() % meaningful.size()];
          break;
        case 2:
          damaged.erase(at, 1 + random() % 4);
          break;
        default:
          damaged.insert(at, damaged.substr(random() % damaged.size(), 1 + random() % 8));
      }
    }
    folder.Write("tokenizer.json", damaged);
    const auto tokenizer = OpenTokenizer(folder.path());
    if (!tokenizer.ok()) {
      EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr("tokenizer.json: "));
      continue;
    }
    ++opened;
    const auto ids = (*tokenizer)->Encode("it's abc, 12345 e\u0301 <end>  \n x");
    if (ids.ok()) (*tokenizer)->Decode(*ids);
  }
  EXPECT_GT(opened, 20);  // else they are damaged too much to tell anything
}

TEST(TokenizerFileTest, TheConfigurationNamesTheEnd) {
  TokenizerFolder folder;
  folder.Write("tokenizer.json", SmallTokenizer().dump());
  const auto opened = [&](const std::string& config) {
    folder.Write("tokenizer_config.json", config);
    const auto tokenizer = OpenTokenizer(folder.path());
    return tokenizer.ok() ? absl::StrCat((*tokenizer)->end_id()) : std::string(tokenizer.status().message());
  };
  EXPECT_EQ(opened(R"({"eos_token": "<end>"})"), "259");
  EXPECT_EQ(opened(R"({"eos_token": {"content": "<end>", "lstrip": false}})"), "259");
  EXPECT_EQ(opened(R"({"eos_token": "ab"})"), "256");
  EXPECT_THAT(opened(R"({"eos_token": "<stop>"})"), HasSubstr("has no token '<stop>', which should end a turn"));
  EXPECT_THAT(opened("{}"), HasSubstr("tokenizer_config.json: eos_token: missing"));
  EXPECT_THAT(opened(R"({"eos_token": 7})"), HasSubstr("tokenizer_config.json: eos_token: 7; expected text"));
  EXPECT_THAT(opened(R"({"eos_token": {}})"), HasSubstr("tokenizer_config.json: eos_token.content: missing"));
}

}  // namespace
}  // namespace tandem
