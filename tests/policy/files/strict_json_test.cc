#include "policy/files/strict_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace tandem {
namespace {

std::string ErrorOf(const std::string& text) {
  const absl::Status status = ParseStrictJson("x.json", text).status();
  if (!status.ok()) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  }
  return std::string(status.message());
}

TEST(StrictJsonTest, ReadsAnObject) {
  const auto json = ParseStrictJson("x.json", R"( {"a": [1, -2, 3.5, "ü", null, true], "b": {"a": {}}} )");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ((*json)["a"][1], -2);
  EXPECT_EQ((*json)["a"][3], "ü");
}

TEST(StrictJsonTest, RefusesWhatReadersDisagreeAbout) {
  using testing::HasSubstr;
  EXPECT_EQ(ErrorOf(R"({"a": 1, "b": 2, "a": 1})"), "x.json: names the key 'a' twice");
  EXPECT_EQ(ErrorOf(R"({"a": 1, "\u0061": 1})"), "x.json: names the key 'a' twice");
  EXPECT_EQ(ErrorOf(R"({"x": [{"a": 1}, {"b": {"c": 1, "c": 2}}]})"), "x.json: names the key 'c' twice");
  EXPECT_EQ(ErrorOf(R"({"x": {"a": 1}, "y": {"a": 1}})"), "");
  EXPECT_EQ(ErrorOf(std::string("{}\0{", 4)), "x.json: is not JSON at byte 3");
  EXPECT_THAT(ErrorOf("\xEF\xBB\xBF{}"), HasSubstr("byte order mark"));
  EXPECT_THAT(ErrorOf("{} {}"), HasSubstr("is not JSON at byte 4"));
}

TEST(StrictJsonTest, RefusesWhatIsNoObject) {
  using testing::HasSubstr;
  EXPECT_THAT(ErrorOf(""), HasSubstr("is empty"));
  EXPECT_THAT(ErrorOf("[1]"), HasSubstr("is not a JSON object"));
  EXPECT_THAT(ErrorOf("null"), HasSubstr("is not a JSON object"));
  for (const char* text : {"{", "{\"a\":1,}", "{'a': 1}", "{\"a\": 1e999}", "{\"a\": NaN}", "{\"a\": \"\xff\"}",
                           "// x\n{}", "{\"a\": \"\n\"}", "{\"a\": 01}"}) {
    EXPECT_THAT(ErrorOf(text), HasSubstr("is not JSON at byte")) << text;
  }
}

TEST(StrictJsonTest, DepthAndNumberOfValuesAreBounded) {
  const auto nested = [](size_t depth) { return R"({"a":)" + std::string(depth, '[') + std::string(depth, ']') + "}"; };
  EXPECT_EQ(ErrorOf(nested(31)), "");
  EXPECT_EQ(ErrorOf(nested(32)), "x.json: is nested deeper than 32 levels");
  EXPECT_EQ(ErrorOf(nested(1'000'000)), "x.json: is nested deeper than 32 levels");
  std::string many = R"({"a":[0)";
  for (size_t i = 0; i < (size_t{4} << 20); ++i) many += ",0";
  EXPECT_EQ(ErrorOf(many + "]}"), "x.json: holds more than 4194304 values");
}

TEST(StrictJsonTest, QuotesAreOneShortLine) {
  EXPECT_EQ(QuoteJson({{"a", "x\ny"}}), R"({"a":"x\ny"})");
  EXPECT_LT(QuoteJson(std::string(1000, 'x')).size(), 100u);
  EXPECT_EQ(QuoteJson(nlohmann::json(std::vector<int>(1000, 1))), "a long list");
  EXPECT_EQ(QuoteName("model.norm.weight"), "'model.norm.weight'");
  EXPECT_EQ(QuoteName("a\nb"), R"('a\nb')");
  EXPECT_LT(QuoteName(std::string(100000, 'x')).size(), 220u);
}

}  // namespace
}  // namespace tandem
