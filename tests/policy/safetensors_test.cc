#include "policy/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <numeric>

#include "base/file.h"
#include "base/random.h"

namespace tandem {
namespace {

using testing::HasSubstr;

class SafetensorsTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/tandem-safetensors-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/model.safetensors";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // A file of this header and so many bytes of data, whatever they say.
  void WriteRaw(const std::string& header, size_t data_bytes) {
    const uint64_t size = header.size();
    std::string bytes(reinterpret_cast<const char*>(&size), sizeof size);
    ASSERT_TRUE(WriteFileAtomically(path_, bytes + header + std::string(data_bytes, '\0')).ok());
  }
  absl::Status ReadStatus() { return SafetensorsFile::Read(path_).status(); }
  void ExpectRefused(const std::string& header, size_t data_bytes, const std::string& why) {
    WriteRaw(header, data_bytes);
    const absl::Status status = ReadStatus();
    EXPECT_FALSE(status.ok()) << header;
    EXPECT_THAT(std::string(status.message()), testing::AllOf(HasSubstr(path_), HasSubstr(why))) << header;
  }

  std::string folder_, path_;
};

TEST_F(SafetensorsTest, WhatIsWrittenIsRead) {
  const std::vector<float> a = {1, -2, 3.5f, 0, 1e-30f, 6}, b = {7};
  ASSERT_TRUE(
      WriteSafetensors(path_, {{"policy", "planner \"x\""}}, {{"a", {2, 3}, a}, {"b", {}, b}, {"c", {0, 4}, {}}}).ok());
  const auto file = SafetensorsFile::Read(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->metadata().at("policy"), "planner \"x\"");
  EXPECT_THAT(file->Find("a", {2, 3}).value(), testing::ElementsAreArray(a));
  EXPECT_THAT(file->Find("b", {}).value(), testing::ElementsAreArray(b));
  EXPECT_EQ(file->Find("c", {0, 4}).value().size(), 0u);
  EXPECT_THAT(std::string(file->Find("a", {3, 2}).status().message()),
              HasSubstr("tensor 'a': has shape [2, 3]; expected [3, 2]"));
  EXPECT_THAT(std::string(file->Find("d", {1}).status().message()), HasSubstr("tensor 'd': is missing"));
}

TEST_F(SafetensorsTest, TheFormatIsTheOneOthersRead) {
  const std::vector<float> values = {1, 2};
  ASSERT_TRUE(WriteSafetensors(path_, {}, {{"x", {2}, values}}).ok());
  const std::string bytes = ReadFile(path_).value();
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  EXPECT_EQ(header % 8, 0u);
  EXPECT_THAT(bytes.substr(8, header),
              testing::StartsWith(R"({"x":{"data_offsets":[0,8],"dtype":"F32","shape":[2]}})"));
  EXPECT_EQ(bytes.size(), 8 + header + 8);
  float second = 0;
  std::memcpy(&second, bytes.data() + 8 + header + 4, 4);
  EXPECT_EQ(second, 2);
}

TEST_F(SafetensorsTest, AFileCutShortAnywhereIsDataLoss) {
  const std::vector<float> values(100, 1.0f);
  ASSERT_TRUE(WriteSafetensors(path_, {{"k", "v"}},
                               {{"x", {50}, std::span(values).first(50)}, {"y", {50}, std::span(values).first(50)}})
                  .ok());
  const std::string bytes = ReadFile(path_).value();
  for (size_t size = 0; size < bytes.size(); size += 1 + size / 16) {
    ASSERT_TRUE(WriteFileAtomically(path_, bytes.substr(0, size)).ok());
    EXPECT_EQ(ReadStatus().code(), absl::StatusCode::kDataLoss) << size << " of " << bytes.size() << " bytes";
    EXPECT_THAT(std::string(ReadStatus().message()), HasSubstr("cut short")) << size;
  }
  ASSERT_TRUE(WriteFileAtomically(path_, bytes + "more").ok());
  EXPECT_EQ(ReadStatus().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SafetensorsTest, HostileHeadersAreRefused) {
  ExpectRefused("[]", 0, "not a JSON object");
  ExpectRefused("{\"x\":", 0, "not a JSON object");
  ExpectRefused(std::string(100000, '['), 0, "not a JSON object");
  ExpectRefused(R"({"x":3})", 0, "tensor 'x': expected dtype");
  ExpectRefused(R"({"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}})", 4, "dtype \"BF16\"; expected F32");
  ExpectRefused(R"({"x":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})", 8, "expected F32");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "not a list of sizes");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", 8, "not a list");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,8]}})", 8, "too large");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "which takes 8 bytes");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "which takes 8 bytes");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0.5,8]}})", 8, "not a pair");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[2],)"
                R"("data_offsets":[4,12]}})",
                12, "tensor 'y': begins at byte 4; expected 8: it overlaps");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "a gap");
  ExpectRefused(R"({"__metadata__":{"a":1}})", 0, "'a' is not text");
  ExpectRefused(R"({"__metadata__":7})", 0, "__metadata__");
}

TEST_F(SafetensorsTest, AHeaderSizeThatLiesIsRefused) {
  for (const uint64_t size : {uint64_t{3}, uint64_t{1} << 40, ~uint64_t{0}}) {
    const std::string bytes(reinterpret_cast<const char*>(&size), sizeof size);
    ASSERT_TRUE(WriteFileAtomically(path_, bytes + "{}").ok());
    EXPECT_EQ(ReadStatus().code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(SafetensorsTest, RandomDamageNeverCrashes) {
  const std::vector<float> values(8, 1.0f);
  ASSERT_TRUE(WriteSafetensors(path_, {{"k", "v"}}, {{"x", {8}, values}}).ok());
  const std::string good = ReadFile(path_).value();
  for (uint64_t seed = 0; seed < 300; ++seed) {
    RandomStream random(seed);
    std::string bytes = good;
    for (int i = 0; i < 3; ++i) bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
    ASSERT_TRUE(WriteFileAtomically(path_, bytes).ok());
    const auto file = SafetensorsFile::Read(path_);
    if (file.ok()) {
      EXPECT_LE(file->tensors().size(), 1u) << "seed " << seed;
    }
  }
}

TEST_F(SafetensorsTest, AMissingFileIsNamed) {
  EXPECT_EQ(ReadStatus().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ReadStatus().message()), HasSubstr(path_));
}

TEST_F(SafetensorsTest, WeightsTravelUnderTheirHuggingFaceNames) {
  const ModelConfig config = {.vocabulary = 7,
                              .hidden = 8,
                              .layers = 2,
                              .heads = 2,
                              .kv_heads = 1,
                              .intermediate = 12,
                              .context = 16,
                              .tied_head = false};
  std::vector<float> weights(static_cast<size_t>(ParameterCount(config)));
  std::iota(weights.begin(), weights.end(), 0.0f);
  ASSERT_TRUE(SaveWeights(path_, config, weights, {{"version", "0-3"}}).ok());
  const auto file = SafetensorsFile::Read(path_);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(file->Find("model.layers.1.self_attn.k_proj.weight", {4, 8}).ok());
  EXPECT_TRUE(file->Find("lm_head.weight", {7, 8}).ok());
  std::vector<float> back(weights.size());
  const auto metadata = LoadWeights(path_, config, back);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  EXPECT_EQ(back, weights);
  EXPECT_EQ(metadata->at("version"), "0-3");
  EXPECT_EQ(metadata->at("format"), "pt");
}

TEST_F(SafetensorsTest, AnotherModelsFileIsRefusedAndNothingIsTouched) {
  ModelConfig config = {.vocabulary = 7,
                        .hidden = 8,
                        .layers = 1,
                        .heads = 2,
                        .kv_heads = 2,
                        .intermediate = 12,
                        .context = 16,
                        .tied_head = false};
  std::vector<float> weights(static_cast<size_t>(ParameterCount(config)), 1.0f);
  ASSERT_TRUE(SaveWeights(path_, config, weights, {}).ok());
  const auto load = [&](const ModelConfig& other) {
    std::vector<float> flat(static_cast<size_t>(ParameterCount(other)), -1.0f);
    const absl::Status status = LoadWeights(path_, other, flat).status();
    EXPECT_THAT(flat, testing::Each(-1.0f));
    return std::string(status.message());
  };
  ModelConfig tied = config, deeper = config, wider = config;
  tied.tied_head = true;
  deeper.layers = 2;
  wider.intermediate = 16;
  EXPECT_THAT(load(tied), HasSubstr("tensor 'lm_head.weight': is not of this model"));
  EXPECT_THAT(load(deeper), HasSubstr("tensor 'model.layers.1.input_layernorm.weight': is missing"));
  EXPECT_THAT(load(wider), HasSubstr("has shape [12, 8]; expected [16, 8]"));
}

}  // namespace
}  // namespace tandem
