// score, generate and convert on tiny models that transformers wrote, against what transformers computes from them
// (tests/policy/goldens; their origin stands in each scores.json).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "tests/launch/run_line.h"
#include "tests/launch/temporary_folder.h"

namespace tandem {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::json;

std::vector<Json> Lines(const std::string& text) {
  std::vector<Json> lines;
  for (const auto& line : absl::StrSplit(text, '\n', absl::SkipEmpty())) lines.push_back(Json::parse(line));
  return lines;
}

class ModelCommandsTest : public ::testing::TestWithParam<const char*> {
 protected:
  ModelCommandsTest() : model_(absl::StrCat("tests/policy/goldens/", GetParam())) {
    scores_ = Json::parse(*ReadFile(model_ + "/scores.json"));
  }

  std::string Write(const std::string& name, const std::string& text) const {
    const std::string file = folder_.path() + "/" + name;
    EXPECT_TRUE(WriteFileAtomically(file, text).ok());
    return file;
  }

  // The sequences of scores.json as requests.
  std::string Requests() const {
    std::string text;
    for (const Json& sequence : scores_["sequences"])
      absl::StrAppend(&text, Json{{"ids", sequence["ids"]}}.dump(), "\n");
    return Write("requests.jsonl", text);
  }

  void ExpectScores(const std::string& model, double tolerance) const {
    const Printed printed = RunLine(absl::StrCat("score ", model, " --input ", Requests()));
    ASSERT_EQ(printed.status, 0) << printed.err;
    const std::vector<Json> lines = Lines(printed.out);
    ASSERT_EQ(lines.size(), scores_["sequences"].size());
    for (size_t i = 0; i < lines.size(); ++i) {
      const Json& expected = scores_["sequences"][i];
      EXPECT_EQ(lines[i]["ids"], expected["ids"]);
      ASSERT_EQ(lines[i]["logprobs"].size(), expected["logprobs"].size());
      for (size_t t = 0; t < expected["logprobs"].size(); ++t) {
        ASSERT_NEAR(lines[i]["logprobs"][t].get<double>(), expected["logprobs"][t].get<double>(), tolerance)
            << "sequence " << i << ", token " << t + 1;
      }
    }
  }

  const std::string model_;
  const TemporaryFolder folder_;
  Json scores_;
};

TEST_P(ModelCommandsTest, ScoresAreThoseOfTransformers) { ExpectScores(model_, 2e-5); }

TEST_P(ModelCommandsTest, TheGreedyContinuationIsThatOfTransformers) {
  const Json& greedy = scores_["greedy"];
  const std::string file = Write("prompt.jsonl", Json{{"ids", greedy["prompt"]}}.dump());
  const Printed printed = RunLine(
      absl::StrCat("generate ", model_, " --greedy --max-new-tokens ", greedy["ids"].size(), " --input ", file));
  ASSERT_EQ(printed.status, 0) << printed.err;
  const Json line = Lines(printed.out).at(0);
  const std::vector<int32_t> ids = line["ids"], expected = greedy["ids"];
  // The continuation of the file goes on beyond the end of the text; the command stops there.
  EXPECT_EQ(ids, std::vector<int32_t>(expected.begin(), expected.begin() + static_cast<int64_t>(ids.size())));
  if (line["finish"] == "length") {
    EXPECT_EQ(ids.size(), expected.size());
  }
  for (size_t t = 0; t < ids.size(); ++t) {
    EXPECT_NEAR(line["logprobs"][t].get<double>(), greedy["logprobs"][t].get<double>(), 2e-5);
    EXPECT_EQ(line["sampled_logprobs"][t], 0);
  }
}

TEST_P(ModelCommandsTest, AConvertedModelScoresTheSame) {
  const std::string copy = folder_.path() + "/copy", half = folder_.path() + "/bf16";
  ASSERT_EQ(RunLine(absl::StrCat("convert ", model_, " ", copy)).status, 0);
  ExpectScores(copy, 2e-5);
  ASSERT_EQ(RunLine(absl::StrCat("convert ", model_, " ", half, " --dtype bf16")).status, 0);
  EXPECT_LT(std::filesystem::file_size(half + "/model.safetensors"),
            std::filesystem::file_size(copy + "/model.safetensors") * 0.7);
  const Printed again = RunLine(absl::StrCat("convert ", model_, " ", copy));
  EXPECT_EQ(again.status, 2);
  EXPECT_THAT(again.err, HasSubstr(copy));
}

TEST_P(ModelCommandsTest, BadRequestsNameTheirLine) {
  const auto error = [&](const std::string& lines) {
    const Printed printed = RunLine(absl::StrCat("score ", model_, " --input ", Write("bad.jsonl", lines)));
    EXPECT_EQ(printed.status, 2);
    EXPECT_EQ(printed.out, "");
    return printed.err;
  };
  EXPECT_THAT(error("{\"ids\": [1, 2]}\n\n{\"ids\": [1, 96]}"),
              AllOf(HasSubstr("bad.jsonl:3: ids[1] is 96, expected 0 to 95")));
  EXPECT_THAT(error("{\"ids\": [-1]}"), HasSubstr("bad.jsonl:1: ids[0] is -1"));
  EXPECT_THAT(error("{\"ids\": [1.5]}"), HasSubstr("bad.jsonl:1: ids[0] is 1.5"));
  EXPECT_THAT(error("{\"ids\": []}"), HasSubstr("bad.jsonl:1: 0 tokens, expected 1 to 640"));
  EXPECT_THAT(error("{\"idz\": []}"), HasSubstr("bad.jsonl:1: key \"idz\": expected ids or text; did you mean ids?"));
  EXPECT_THAT(error("[1, 2]"), HasSubstr("bad.jsonl:1: expected a JSON object with ids or text"));
  EXPECT_THAT(error("{\"ids\": [1, 2}"), HasSubstr("bad.jsonl:1: is not JSON at byte 14"));
  EXPECT_THAT(error("{\"text\": \"\xff\"}"), HasSubstr("bad.jsonl:1: is not UTF-8 at byte 11"));
  EXPECT_THAT(RunLine("score nowhere --input x").err, HasSubstr("nowhere"));
  EXPECT_THAT(RunLine(absl::StrCat("score ", model_, " --input nowhere.jsonl")).err, HasSubstr("nowhere.jsonl"));
  EXPECT_THAT(RunLine(absl::StrCat("generate ", model_, " --top-p 2 --prompt x")).err, HasSubstr("--top-p"));
}

INSTANTIATE_TEST_SUITE_P(Families, ModelCommandsTest, testing::Values("qwen2", "qwen3", "llama"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace tandem
