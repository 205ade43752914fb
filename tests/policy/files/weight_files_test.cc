#include "policy/files/weight_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/files/shard_index.h"
#include "tests/policy/files/temporary_folder.h"

namespace tandem {
namespace {

using testing::HasSubstr;

class WeightFilesTest : public testing::Test {
 protected:
  // A file of tensors that hold one number each.
  void WriteShard(const std::string& name, const std::vector<std::string>& tensors) {
    static const float value = 1;
    std::vector<NamedTensor> named;
    for (const std::string& tensor : tensors) named.push_back({tensor, {1}, {&value, 1}});
    ASSERT_TRUE(WriteSafetensors(folder_.File(name), {}, named).ok());
  }
  void WriteIndex(const std::string& weight_map, const std::string& metadata = R"({"total_size": 12})") {
    folder_.Write(kShardIndexFile, R"({"metadata": )" + metadata + R"(, "weight_map": )" + weight_map + "}");
  }
  void ExpectRefused(const std::string& file, const std::string& why) {
    const absl::Status status = WeightFiles::Open(folder_.path()).status();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), testing::AllOf(HasSubstr(folder_.File(file)), HasSubstr(why)));
  }

  TemporaryFolder folder_;
};

TEST_F(WeightFilesTest, OneFileNeedsNoIndex) {
  WriteShard("model.safetensors", {"a", "b"});
  folder_.Write(kShardIndexFile, "not read: transformers does not either");
  const auto weights = WeightFiles::Open(folder_.path());
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ(weights->tensors().size(), 2u);
  EXPECT_EQ(weights->Find("c"), nullptr);
}

TEST_F(WeightFilesTest, PlacesStayValidWhenTheFilesAreMoved) {
  WriteShard("one.safetensors", {"a", "b"});
  WriteShard("two.safetensors", {"c"});
  WriteIndex(R"({"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"})");
  auto opened = WeightFiles::Open(folder_.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  const WeightFiles weights = *std::move(opened);
  ASSERT_EQ(weights.files().size(), 2u);
  const WeightFiles::Place* place = weights.Find("c");
  ASSERT_NE(place, nullptr);
  EXPECT_EQ(place->file, &weights.files()[1]);
  EXPECT_EQ(place->tensor, &weights.files()[1].tensors()[0]);
}

TEST_F(WeightFilesTest, ATensorMustBeInTheOneFileThatTheIndexNames) {
  WriteShard("one.safetensors", {"a", "b"});
  WriteShard("two.safetensors", {"c"});
  WriteIndex(R"({"a": "one.safetensors", "c": "two.safetensors"})");
  ExpectRefused("one.safetensors", "tensor 'b': is not in model.safetensors.index.json");
  WriteIndex(R"({"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"})");
  ExpectRefused("one.safetensors", "tensor 'b': is here, but model.safetensors.index.json says it is in two.saf");
  WriteIndex(R"({"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors", "d": "two.safetensors"})");
  ExpectRefused("two.safetensors", "tensor 'd': is missing");
  WriteShard("two.safetensors", {"c", "a"});
  WriteIndex(R"({"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"})");
  ExpectRefused("two.safetensors", "tensor 'a': is in " + folder_.File("one.safetensors") + " too");
  WriteIndex(R"({"a": "one.safetensors", "b": "none.safetensors"})");
  ExpectRefused("none.safetensors", "cannot be opened");
}

TEST_F(WeightFilesTest, AnIndexThatLeavesTheFolderOrIsNoneIsRefused) {
  WriteShard("one.safetensors", {"a"});
  for (const char* file : {"../one.safetensors", "/etc/one.safetensors", "x/one.safetensors", "..", "", ".safetensors",
                           "one.bin", "x\\\\one.safetensors", "one.safetensors\\u0000.safetensors"}) {
    WriteIndex(std::string(R"({"a": ")") + file + "\"}");
    ExpectRefused(kShardIndexFile, "weight_map: tensor 'a' is in");
  }
  WriteIndex(R"({"a": 1})");
  ExpectRefused(kShardIndexFile, "tensor 'a' is in 1; expected the name of a .safetensors file");
  WriteIndex("[]");
  ExpectRefused(kShardIndexFile, "weight_map is []; expected a map from tensors to files");
  WriteIndex("null");
  ExpectRefused(kShardIndexFile, "weight_map is missing");
  WriteIndex(R"({"a": "one.safetensors", "a": "two.safetensors"})");
  ExpectRefused(kShardIndexFile, "names the key 'a' twice");
  WriteIndex(R"({"a": "one.safetensors"})", R"({"total_size": "12"})");
  ExpectRefused(kShardIndexFile, "metadata.total_size is \"12\"; expected a number");
  WriteIndex(R"({"a": "one.safetensors"})", "3");
  ExpectRefused(kShardIndexFile, "metadata is 3; expected an object");
  folder_.Write(kShardIndexFile, "{");
  ExpectRefused(kShardIndexFile, "is not JSON");
  WriteIndex(R"({"a": "one.safetensors"})", R"({"total_size": 12.0, "total_parameters": 3})");
  EXPECT_TRUE(WeightFiles::Open(folder_.path()).ok());
  WriteIndex(R"({"a": "one.safetensors"})", "null");
  EXPECT_TRUE(WeightFiles::Open(folder_.path()).ok());
}

TEST_F(WeightFilesTest, AFolderWithoutWeightsSaysWhatIsThere) {
  const auto message = [&] { return std::string(WeightFiles::Open(folder_.path()).status().message()); };
  EXPECT_THAT(message(), HasSubstr(folder_.path() + ": has neither model.safetensors nor"));
  EXPECT_THAT(message(), testing::Not(HasSubstr("pytorch_model.bin")));
  folder_.Write("pytorch_model.bin", "");
  EXPECT_THAT(message(), HasSubstr("pytorch_model.bin is not read"));
}

TEST(ShardPlanTest, ShardsAreFilledInOrderAndLargeTensorsGoAlone) {
  const auto shards = [](const std::vector<int64_t>& bytes, int64_t most) { return PlanShards(bytes, most).shard_of; };
  using testing::ElementsAre;
  EXPECT_THAT(shards({4, 4, 4, 4}, 8), ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(shards({4, 4, 4}, 100), ElementsAre(0, 0, 0));
  EXPECT_THAT(shards({4, 9, 4, 1}, 8), ElementsAre(0, 1, 0, 2));  // 4 + 4 + 1 > 8
  EXPECT_THAT(shards({9, 9}, 8), ElementsAre(0, 1));
  EXPECT_EQ(PlanShards({4, 9, 4, 1}, 8).shards, 3u);
  EXPECT_EQ(ShardName(2, 14), "model-00002-of-00014.safetensors");
}

}  // namespace
}  // namespace tandem
