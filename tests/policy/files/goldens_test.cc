// Folders that transformers wrote (tests/parity/make_model_goldens.py), with what they hold.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/file.h"
#include "policy/files/model_folder.h"

namespace tandem {
namespace {

constexpr char kGoldens[] = "tests/policy/files/goldens/";

std::string Fnv1a(std::span<const float> values) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const std::byte byte : std::as_bytes(values)) hash = (hash ^ static_cast<uint64_t>(byte)) * 0x100000001B3;
  char hex[17];
  std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(hash));
  return hex;
}

class GoldenFolderTest : public testing::TestWithParam<const char*> {};

TEST_P(GoldenFolderTest, IsReadAsTransformersMeantIt) {
  const std::string path = std::string(kGoldens) + "transformers5/" + GetParam();
  const nlohmann::json expected = nlohmann::json::parse(ReadFile(path + "/expected.json").value());
  const auto folder = LoadModelFolder(path);
  ASSERT_TRUE(folder.ok()) << folder.status();
  const ModelConfig& shape = folder->shape();
  EXPECT_EQ(TraitsOf(folder->config.family).model_type, expected["model_type"].get<std::string>());
  EXPECT_EQ(shape.vocabulary, expected["vocabulary"]);
  EXPECT_EQ(shape.hidden, expected["hidden"]);
  EXPECT_EQ(shape.layers, expected["layers"]);
  EXPECT_EQ(shape.heads, expected["heads"]);
  EXPECT_EQ(shape.kv_heads, expected["kv_heads"]);
  EXPECT_EQ(shape.head_size(), expected["head_size"]);
  EXPECT_EQ(shape.intermediate, expected["intermediate"]);
  EXPECT_EQ(shape.context, expected["context"]);
  EXPECT_EQ(shape.rope_theta, expected["rope_theta"]);
  EXPECT_EQ(shape.rope_scaling.has_value(), expected["rope_type"] == "llama3");
  EXPECT_EQ(shape.norm_epsilon, expected["norm_epsilon"]);
  EXPECT_EQ(shape.tied_head, expected["tied_head"]);
  EXPECT_EQ(ParameterCount(shape), expected["parameters"]);
  EXPECT_THAT(folder->config.ends.eos_ids, testing::ElementsAre(2));
  EXPECT_THAT(folder->eos_ids(), testing::ElementsAre(2, 3));  // of generation_config.json
  EXPECT_EQ(folder->config.ends.bos_id, 1);
  EXPECT_EQ(folder->generation->temperature, 0.7);
  EXPECT_EQ(folder->generation->top_p, 0.8);
  EXPECT_EQ(folder->generation->top_k, 20);

  std::vector<float> flat(static_cast<size_t>(ParameterCount(shape)));
  ASSERT_TRUE(ReadWeights(*folder, flat).ok());
  const std::vector<Parameter> layout = ParameterLayout(shape);
  EXPECT_EQ(layout.size(), expected["tensors"].size());
  for (const Parameter& parameter : layout) {
    const auto values =
        std::span(flat).subspan(static_cast<size_t>(parameter.offset), static_cast<size_t>(parameter.size()));
    EXPECT_EQ(Fnv1a(values), expected["tensors"][parameter.name]) << parameter.name;
  }
}

// transformers 4 spells the same models otherwise.
TEST_P(GoldenFolderTest, HasTheShapeThatTransformers4Wrote) {
  const auto parse = [](const std::string& version) {
    const std::string file = std::string(kGoldens) + version + "/" + GetParam() + "/config.json";
    return ParseHfConfig(file, ReadFile(file).value());
  };
  const auto four = parse("transformers4"), five = parse("transformers5");
  ASSERT_TRUE(four.ok()) << four.status();
  ASSERT_TRUE(five.ok()) << five.status();
  EXPECT_EQ(four->family, five->family);
  EXPECT_EQ(four->shape, five->shape);
  EXPECT_EQ(four->ends, five->ends);
}

INSTANTIATE_TEST_SUITE_P(Goldens, GoldenFolderTest, testing::Values("qwen2-f32", "qwen3-bf16", "llama-f16-sharded"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace tandem
