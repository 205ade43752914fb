#include "policy/files/model_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "policy/files/convert.h"
#include "policy/files/save_model_folder.h"
#include "policy/files/shard_index.h"
#include "tests/policy/files/temporary_folder.h"
#include "tests/policy/files/tiny_model.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

std::vector<float> Rounded(std::vector<float> weights, Dtype dtype) {
  std::vector<float> stored(weights.size());
  const auto count = static_cast<int64_t>(weights.size());
  FromFloat32(weights.data(), count, dtype, stored.data());
  ToFloat32(dtype, stored.data(), count, weights.data());
  return weights;
}

class ModelFolderTest : public testing::Test {
 protected:
  void Save(const ModelConfig& shape, const SaveModelOptions& options = {}) {
    const absl::Status status = SaveModelFolder(path_, shape, RandomWeights(shape, 1), options);
    ASSERT_TRUE(status.ok()) << status;
  }
  std::string LoadError() { return std::string(LoadModelFolder(path_).status().message()); }
  std::string ReadError() {
    const auto folder = LoadModelFolder(path_);
    EXPECT_TRUE(folder.ok()) << folder.status();
    if (!folder.ok()) return "";
    std::vector<float> flat(static_cast<size_t>(ParameterCount(folder->shape())));
    return std::string(ReadWeights(*folder, flat).message());
  }
  // The tensors of a saved folder, to be written again with changes.
  std::vector<NamedTensor> Tensors(const ModelConfig& shape) {
    values_ = RandomWeights(shape, 1);
    std::vector<NamedTensor> tensors;
    for (const Parameter& p : ParameterLayout(shape)) {
      tensors.push_back(
          {p.name, p.shape, std::span(values_).subspan(static_cast<size_t>(p.offset), static_cast<size_t>(p.size()))});
    }
    return tensors;
  }
  void WriteTensors(const std::vector<NamedTensor>& tensors) {
    ASSERT_TRUE(WriteSafetensors(path_ + "/model.safetensors", {{"format", "pt"}}, tensors).ok());
  }

  TemporaryFolder root_;
  std::string path_ = root_.File("model");
  std::vector<float> values_;
};

TEST_F(ModelFolderTest, WhatIsSavedIsLoaded) {
  for (const bool tied : {false, true}) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16, Dtype::kF16}) {
      for (const int64_t most : {int64_t{5'000'000'000}, int64_t{500}}) {
        SCOPED_TRACE(testing::Message() << DtypeName(dtype) << " tied " << tied << " most " << most);
        ModelConfig shape = TinyShape();
        shape.tied_head = tied;
        shape.qkv_bias = true;
        Save(shape, {.dtype = dtype, .ends = EndTokens{{3, 4}, 1}, .most_shard_bytes = most});
        const auto folder = LoadModelFolder(path_);
        ASSERT_TRUE(folder.ok()) << folder.status();
        EXPECT_EQ(folder->shape(), shape);
        EXPECT_EQ(folder->config.family, HfFamily::kQwen2);
        EXPECT_THAT(folder->eos_ids(), testing::ElementsAre(3, 4));
        EXPECT_EQ(folder->weights.files().size() > 1, most == 500);
        std::vector<float> flat(static_cast<size_t>(ParameterCount(shape)));
        ASSERT_TRUE(ReadWeights(*folder, flat).ok());
        EXPECT_EQ(flat, Rounded(RandomWeights(shape, 1), dtype));
      }
    }
  }
}

TEST_F(ModelFolderTest, ShardsComeWithAnIndexAsTransformersWritesIt) {
  Save(TinyShape(), {.dtype = Dtype::kBF16, .most_shard_bytes = 500});
  const nlohmann::json index = nlohmann::json::parse(ReadFile(path_ + "/model.safetensors.index.json").value());
  EXPECT_EQ(index["metadata"]["total_size"], 2 * ParameterCount(TinyShape()));
  EXPECT_EQ(index["metadata"]["total_parameters"], ParameterCount(TinyShape()));
  const ModelFolder folder = LoadModelFolder(path_).value();
  const size_t shards = folder.weights.files().size();
  EXPECT_EQ(index["weight_map"]["lm_head.weight"], ShardName(shards, shards));
  for (const SafetensorsFile& file : folder.weights.files()) {
    size_t bytes = 0;
    for (const TensorView& tensor : file.tensors()) bytes += tensor.bytes.size();
    EXPECT_LE(bytes, 500u);
    EXPECT_EQ(file.metadata().at("format"), "pt");
  }
}

TEST_F(ModelFolderTest, WhatCameWithTheSourceGoesAlong) {
  const std::string source = root_.File("source");
  ASSERT_TRUE(SaveModelFolder(source, TinyShape(), RandomWeights(TinyShape(), 2), {}).ok());
  nlohmann::json config = nlohmann::json::parse(root_.Read("source/config.json"));
  config["custom"] = 7;
  config["eos_token_id"] = 5;
  root_.Write("source/config.json", config.dump());
  const std::string generation = R"({"eos_token_id":[6,7],  "odd spacing": true})";
  root_.Write("source/generation_config.json", generation);
  root_.Write("source/tokenizer.json", "tokens");
  root_.Write("source/merges.txt", "merges");
  root_.Write("source/chat_template.jinja", "template");
  root_.Write("source/README.md", "not ours");
  Save(TinyShape(), {.dtype = Dtype::kF16, .source = source});
  EXPECT_THAT(NamesIn(path_), UnorderedElementsAre("config.json", "generation_config.json", "tokenizer.json",
                                                   "merges.txt", "chat_template.jinja", "model.safetensors"));
  const auto folder = LoadModelFolder(path_);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(root_.Read("model/generation_config.json"), generation);
  EXPECT_EQ(nlohmann::json::parse(folder->config.text)["custom"], 7);
  EXPECT_THAT(folder->config.ends.eos_ids, testing::ElementsAre(5));
  EXPECT_THAT(folder->eos_ids(), testing::ElementsAre(6, 7));
  EXPECT_EQ(folder->tokenizer_files.size(), 3u);
  EXPECT_EQ(ReadFile(folder->tokenizer_files.at("merges.txt")).value(), "merges");
  // Into its own source, and from a folder that holds nothing but a tokenizer.
  Save(TinyShape(), {.source = path_});
  EXPECT_EQ(NamesIn(path_).size(), 6u);
  fs::remove(root_.File("source/config.json"));
  Save(TinyShape(), {.source = source});
  EXPECT_TRUE(LoadModelFolder(path_).ok());
}

TEST_F(ModelFolderTest, ReplacesAModelAndNothingElse) {
  const auto save = [&] {
    return std::string(SaveModelFolder(path_, TinyShape(), RandomWeights(TinyShape(), 3), {}).message());
  };
  Save(TinyShape(), {.most_shard_bytes = 500});
  EXPECT_GT(NamesIn(path_).size(), 3u);
  EXPECT_EQ(save(), "");
  EXPECT_THAT(NamesIn(path_), UnorderedElementsAre("config.json", "model.safetensors"));
  root_.Write("model/notes.txt", "dear");
  EXPECT_THAT(save(), HasSubstr(path_ + ": notes.txt would be lost"));
  EXPECT_EQ(root_.Read("model/notes.txt"), "dear");
  fs::remove(root_.File("model/notes.txt"));
  fs::create_directory(root_.File("model/model-x.safetensors"));
  EXPECT_THAT(save(), HasSubstr("model-x.safetensors would be lost"));
  fs::remove_all(path_);
  fs::create_directory(path_);
  EXPECT_EQ(save(), "");
  fs::remove(root_.File("model/config.json"));
  EXPECT_THAT(save(), HasSubstr("has no config.json"));
  fs::remove_all(path_);
  root_.Write("model", "a file");
  EXPECT_THAT(save(), HasSubstr("is not a folder"));
  EXPECT_THAT(NamesIn(root_.path()), UnorderedElementsAre("model"));  // nothing partial is left
  path_ = root_.File("deep/er/model/");
  EXPECT_EQ(save(), "");
  EXPECT_THAT(NamesIn(root_.File("deep/er")), UnorderedElementsAre("model"));
}

TEST_F(ModelFolderTest, WhatCannotBeSavedLeavesTheOldModel) {
  Save(TinyShape());
  const std::string before = root_.Read("model/model.safetensors");
  const auto refused = [&](const ModelConfig& shape, float first, const SaveModelOptions& options) {
    std::vector<float> weights = RandomWeights(shape, 4);
    weights[0] = first;
    const absl::Status status = SaveModelFolder(path_, shape, weights, options);
    EXPECT_EQ(root_.Read("model/model.safetensors"), before);
    EXPECT_THAT(NamesIn(root_.path()), UnorderedElementsAre("model"));
    return std::string(status.message());
  };
  ModelConfig odd = TinyShape();
  odd.output_bias = true;
  EXPECT_THAT(refused(odd, 0, {}), HasSubstr("no model family"));
  EXPECT_THAT(refused(TinyShape(), 1e6f, {.dtype = Dtype::kF16}), HasSubstr("does not fit into F16"));
  EXPECT_THAT(refused(TinyShape(), 0, {.source = root_.File("none")}), HasSubstr("none: is not a folder"));
  EXPECT_THAT(refused(TinyShape(), 0, {.ends = EndTokens{{11}, {}}}), HasSubstr("token id 11"));
}

TEST_F(ModelFolderTest, ATiedModelMayCarryItsHead) {
  ModelConfig shape = TinyShape();
  shape.tied_head = true;
  Save(shape);
  std::vector<NamedTensor> tensors = Tensors(shape);
  tensors.push_back({"lm_head.weight", {11, 8}, tensors[0].values});
  WriteTensors(tensors);
  EXPECT_EQ(ReadError(), "");
  std::vector<float> other(tensors[0].values.begin(), tensors[0].values.end());
  other.back() += 1;
  tensors.back().values = other;
  WriteTensors(tensors);
  EXPECT_THAT(ReadError(), HasSubstr(path_ + "/model.safetensors: tensor 'lm_head.weight': differs from "
                                             "model.embed_tokens.weight"));
  tensors.back().shape = {8, 11};
  WriteTensors(tensors);
  EXPECT_THAT(LoadError(), HasSubstr("tensor 'lm_head.weight': has shape [8, 11]; expected [11, 8]"));
}

TEST_F(ModelFolderTest, ATiedHeadOfAnotherTypeIsComparedByValue) {
  ModelConfig shape = TinyShape();
  shape.tied_head = true;
  Save(shape, {.dtype = Dtype::kBF16, .most_shard_bytes = 200});
  nlohmann::json index = nlohmann::json::parse(root_.Read("model/model.safetensors.index.json"));
  index["weight_map"]["lm_head.weight"] = "head.safetensors";
  root_.Write("model/model.safetensors.index.json", index.dump());
  std::vector<float> head = Rounded(RandomWeights(shape, 1), Dtype::kBF16);
  head.resize(11 * 8);
  ASSERT_TRUE(WriteSafetensors(path_ + "/head.safetensors", {}, {{"lm_head.weight", {11, 8}, head}}).ok());
  EXPECT_EQ(ReadError(), "");
  head[5] += 1e-3f;
  ASSERT_TRUE(WriteSafetensors(path_ + "/head.safetensors", {}, {{"lm_head.weight", {11, 8}, head}}).ok());
  EXPECT_THAT(ReadError(), HasSubstr("head.safetensors: tensor 'lm_head.weight': differs"));
}

TEST_F(ModelFolderTest, TensorsAreTheModelsAndNoOthers) {
  const ModelConfig shape = TinyShape();
  Save(shape);
  const std::vector<NamedTensor> good = Tensors(shape);
  std::vector<NamedTensor> tensors = good;
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", {2}, good[0].values.first(2)});
  WriteTensors(tensors);
  EXPECT_EQ(ReadError(), "");
  tensors.back().name = "model.layers.2.input_layernorm.weight";
  WriteTensors(tensors);
  EXPECT_THAT(LoadError(), HasSubstr("model.safetensors: tensor 'model.layers.2.input_layernorm.weight': is not of the "
                                     "model that config.json describes"));
  tensors = good;
  tensors.erase(tensors.begin() + 3);
  WriteTensors(tensors);
  EXPECT_THAT(LoadError(), HasSubstr("model.safetensors: tensor '" + good[3].name + "': is missing"));
  tensors = good;
  tensors.pop_back();
  WriteTensors(tensors);
  EXPECT_THAT(LoadError(), HasSubstr("tensor 'lm_head.weight': is missing"));
  tensors = good;
  std::swap(tensors[8].shape[0], tensors[8].shape[1]);
  WriteTensors(tensors);
  EXPECT_THAT(LoadError(), HasSubstr("tensor '" + good[8].name + "': has shape [8, 12]; expected [12, 8]"));
}

TEST_F(ModelFolderTest, ALyingConfigIsCaughtBeforeMemoryIsAskedFor) {
  Save(TinyShape());
  nlohmann::json config = nlohmann::json::parse(root_.Read("model/config.json"));
  config["vocab_size"] = 16'000'000;
  config["hidden_size"] = 1'000'000;
  config["num_hidden_layers"] = 1000;
  root_.Write("model/config.json", config.dump());
  EXPECT_THAT(LoadError(),
              HasSubstr("tensor 'model.embed_tokens.weight': has shape [11, 8]; expected [16000000, 1000"));
}

TEST_F(ModelFolderTest, AFileThatIsCutShortLaterIsDataLoss) {
  Save(TinyShape());
  const auto folder = LoadModelFolder(path_);
  ASSERT_TRUE(folder.ok());
  fs::resize_file(path_ + "/model.safetensors", fs::file_size(path_ + "/model.safetensors") - 4);
  std::vector<float> flat(static_cast<size_t>(ParameterCount(folder->shape())));
  EXPECT_EQ(ReadWeights(*folder, flat).code(), absl::StatusCode::kDataLoss);
}

TEST_F(ModelFolderTest, WhatIsMissingIsNamed) {
  EXPECT_THAT(LoadError(), HasSubstr(path_ + ": is not a folder"));
  fs::create_directory(path_);
  EXPECT_THAT(LoadError(), HasSubstr(path_ + "/config.json: cannot be opened"));
  Save(TinyShape());
  root_.Write("model/generation_config.json", R"({"eos_token_id": 11})");
  EXPECT_THAT(LoadError(), HasSubstr("generation_config.json: eos_token_id is 11; expected a token id"));
  fs::remove(path_ + "/model.safetensors");
  EXPECT_THAT(LoadError(), HasSubstr(path_ + ": has neither model.safetensors nor"));
}

// A model large enough for several pieces and threads.
TEST_F(ModelFolderTest, ManyPiecesLandWhereTheyBelong) {
  ModelConfig shape = TinyShape();
  shape.vocabulary = 20'001;
  shape.hidden = 150;  // 3,000,150 numbers in the embedding
  shape.heads = 3;
  shape.kv_heads = 3;
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16}) {
    Save(shape, {.dtype = dtype});
    const auto folder = LoadModelFolder(path_);
    ASSERT_TRUE(folder.ok()) << folder.status();
    std::vector<float> flat(static_cast<size_t>(ParameterCount(shape)));
    ASSERT_TRUE(ReadWeights(*folder, flat).ok());
    EXPECT_TRUE(flat == Rounded(RandomWeights(shape, 1), dtype)) << DtypeName(dtype);
  }
}

}  // namespace
}  // namespace tandem
