#include "policy/files/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/random.h"
#include "policy/files/convert.h"
#include "policy/files/weights.h"
#include "tests/policy/files/temporary_folder.h"
#include "tests/policy/files/tiny_model.h"

namespace tandem {
namespace {

using testing::HasSubstr;

class SafetensorsTest : public testing::Test {
 protected:
  // A file of this header and so many bytes of data, whatever they say.
  void WriteRaw(const std::string& header, size_t data_bytes) {
    const uint64_t size = header.size();
    folder_.Write("model.safetensors", std::string(reinterpret_cast<const char*>(&size), sizeof size) + header +
                                           std::string(data_bytes, '\0'));
  }
  absl::Status OpenStatus() { return SafetensorsFile::Open(path_).status(); }
  void ExpectRefused(const std::string& header, size_t data_bytes, const std::string& why) {
    WriteRaw(header, data_bytes);
    const absl::Status status = OpenStatus();
    EXPECT_FALSE(status.ok()) << header;
    const std::string message(status.message());
    EXPECT_THAT(message, testing::AllOf(HasSubstr(path_), HasSubstr(why))) << header;
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 0) << message;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.File("model.safetensors");
};

TEST_F(SafetensorsTest, WhatIsWrittenIsRead) {
  const std::vector<float> a = {1, -2, 3.5f, 0, 1e-30f, 6}, b = {7};
  ASSERT_TRUE(
      WriteSafetensors(path_, {{"policy", "planner \"x\""}}, {{"a", {2, 3}, a}, {"b", {}, b}, {"c", {0, 4}, {}}}).ok());
  const auto file = SafetensorsFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->metadata().at("policy"), "planner \"x\"");
  EXPECT_THAT(ReadFloats(*file, "a", {2, 3}).value(), testing::ElementsAreArray(a));
  EXPECT_THAT(ReadFloats(*file, "b", {}).value(), testing::ElementsAreArray(b));
  EXPECT_EQ(ReadFloats(*file, "c", {0, 4}).value().size(), 0u);
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

TEST_F(SafetensorsTest, WeightsOf16BitsAreRoundedAndViewedAsTheyAre) {
  const std::vector<float> values = {1, -2, 0.1f, 1e-8f, 60000};
  for (const Dtype dtype : {Dtype::kBF16, Dtype::kF16}) {
    ASSERT_TRUE(WriteSafetensors(path_, {}, {{"x", {5}, values}}, dtype).ok());
    const auto file = SafetensorsFile::Open(path_);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_EQ(file->tensors().size(), 1u);
    const TensorView& tensor = file->tensors()[0];
    EXPECT_EQ(tensor.dtype, dtype);
    std::vector<uint16_t> expected(5);
    FromFloat32(values.data(), 5, dtype, expected.data());
    ASSERT_EQ(tensor.bytes.size(), 10u);
    EXPECT_EQ(std::memcmp(tensor.bytes.data(), expected.data(), 10), 0);
  }
}

TEST_F(SafetensorsTest, AWeightBeyondFloat16IsRefusedAndNothingIsWritten) {
  const std::vector<float> fits = {65519, -65519, std::numeric_limits<float>::infinity()}, large = {1, -65520};
  EXPECT_TRUE(WriteSafetensors(path_, {}, {{"x", {3}, fits}}, Dtype::kF16).ok());
  const absl::Status status =
      WriteSafetensors(folder_.File("new"), {}, {{"x", {3}, fits}, {"y", {2}, large}}, Dtype::kF16);
  EXPECT_THAT(std::string(status.message()), HasSubstr("tensor 'y': -65520 does not fit into F16"));
  EXPECT_FALSE(std::filesystem::exists(folder_.File("new")));
}

TEST_F(SafetensorsTest, AFileCutShortAnywhereIsDataLoss) {
  const std::vector<float> values(100, 1.0f);
  ASSERT_TRUE(WriteSafetensors(path_, {{"k", "v"}},
                               {{"x", {50}, std::span(values).first(50)}, {"y", {50}, std::span(values).first(50)}})
                  .ok());
  const std::string bytes = ReadFile(path_).value();
  for (size_t size = 0; size < bytes.size(); size += 1 + size / 16) {
    folder_.Write("model.safetensors", bytes.substr(0, size));
    EXPECT_EQ(OpenStatus().code(), absl::StatusCode::kDataLoss) << size << " of " << bytes.size() << " bytes";
    EXPECT_THAT(std::string(OpenStatus().message()), HasSubstr("cut short")) << size;
  }
  folder_.Write("model.safetensors", bytes + "more");
  EXPECT_EQ(OpenStatus().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SafetensorsTest, HostileHeadersAreRefused) {
  ExpectRefused("", 0, "not a JSON object");
  ExpectRefused("[]", 0, "not a JSON object");
  ExpectRefused("  {}", 0, "not a JSON object");
  ExpectRefused("{\"x\":", 0, "is not JSON at byte 6");
  ExpectRefused("{}x", 0, "is not JSON at byte 3");
  ExpectRefused("{\"x\":" + std::string(100000, '['), 0, "nested deeper");
  ExpectRefused(R"({"x":3})", 0, "tensor 'x': expected dtype");
  ExpectRefused(R"({"x\ny":3})", 0, "tensor 'x\\ny': expected dtype");
  ExpectRefused(R"({"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})", 8, "dtype \"F64\"; expected F32");
  ExpectRefused(R"({"x":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}})", 4, "dtype \"f32\"; expected F32");
  ExpectRefused(R"({"x":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})", 8, "expected F32, BF16 or F16");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "not a list of sizes");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8, "not a list of sizes");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8]}})", 8, "not a list of");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", 8, "not a list");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,8]}})", 8, "too large");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "which takes 8 bytes");
  ExpectRefused(R"({"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,8]}})", 8, "which takes 4 bytes");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "which takes 8 bytes");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0.5,8]}})", 8, "not a pair");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8,16]}})", 8, "not a pair");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", 8, "not a pair");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,18446744073709551616]}})", 8,
                "not a pair");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551604,18446744073709551608]}})", 8,
                "a gap");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", 8, "was cut short");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8, "4 bytes after the last tensor");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[2],)"
                R"("data_offsets":[4,12]}})",
                12, "tensor 'y': begins at byte 4; expected 8: it overlaps");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[2],)"
                R"("data_offsets":[0,8]}})",
                8, "it overlaps");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"F32","shape":[0],)"
                R"("data_offsets":[4,4]}})",
                8, "tensor 'y': begins at byte 4; expected 8: it overlaps");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "a gap");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],)"
                R"("data_offsets":[4,8]}})",
                8, "names the key 'x' twice");
  ExpectRefused(R"({"x":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,8]}})", 8, "the key 'shape' twice");
  ExpectRefused(R"({"__metadata__":{"a":1}})", 0, "'a' is not text");
  ExpectRefused(R"({"__metadata__":7})", 0, "__metadata__");
  ExpectRefused(R"({"__metadata__":{"a":"1","a":"2"}})", 0, "names the key 'a' twice");
}

TEST_F(SafetensorsTest, TensorsOfNoBytesAreAllowedAnywhere) {
  WriteRaw(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"F32","shape":[1],)"
           R"("data_offsets":[0,4]},"c":{"dtype":"F16","shape":[7,0],"data_offsets":[4,4]}})",
           4);
  const auto file = SafetensorsFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors().size(), 3u);
  EXPECT_TRUE(file->Find("c", {7, 0}).value()->bytes.empty());
  WriteRaw("{}", 0);
  EXPECT_TRUE(OpenStatus().ok());
}

TEST_F(SafetensorsTest, AHeaderSizeThatLiesIsRefused) {
  for (const uint64_t size : {uint64_t{3}, uint64_t{1} << 40, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    const std::string bytes(reinterpret_cast<const char*>(&size), sizeof size);
    folder_.Write("model.safetensors", bytes + "{}");
    EXPECT_EQ(OpenStatus().code(), absl::StatusCode::kDataLoss);
  }
}

TEST_F(SafetensorsTest, AHeaderOfMoreThanTheReferenceAllowsIsNotRead) {
  const uint64_t size = 100'000'001;
  folder_.Write("model.safetensors", std::string_view(reinterpret_cast<const char*>(&size), sizeof size));
  std::filesystem::resize_file(path_, 8 + size);  // sparse
  EXPECT_THAT(std::string(OpenStatus().message()), HasSubstr("100000001 bytes; at most 100000000 are allowed"));
}

// Files of random tensors, as any writer may lay them out: types mixed, of odd alignment, listed in any order, with
// scalars and empty tensors, and keys that nobody asked for.
TEST_F(SafetensorsTest, AnyValidHeaderIsReadAsItWasMeant) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomStream random(seed);
    nlohmann::json header = nlohmann::json::object();
    std::vector<TensorRange> tensors(random.Below(8));
    uint64_t end = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
      TensorRange& tensor = tensors[i];
      tensor.name = "t" + std::to_string(random.Below(1000)) + "." + std::to_string(i) + (i % 3 == 0 ? "\"\n/é" : "");
      tensor.dtype = std::array{Dtype::kF32, Dtype::kBF16, Dtype::kF16}[random.Below(3)];
      uint64_t bytes = static_cast<uint64_t>(DtypeBytes(tensor.dtype));
      for (uint64_t rank = random.Below(4); rank > 0; --rank) {
        tensor.shape.push_back(static_cast<int64_t>(random.Below(6)));
        bytes *= static_cast<uint64_t>(tensor.shape.back());
      }
      tensor.begin = end;
      tensor.end = end += bytes;
      header[tensor.name] = {
          {"dtype", DtypeName(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {tensor.begin, tensor.end}}};
      if (tensor.shape.empty()) header[tensor.name]["shape"] = nlohmann::json::array();
      if (random.Below(4) == 0) header[tensor.name]["comment"] = nullptr;
    }
    if (random.Below(2) == 0) header["__metadata__"] = {{"format", "pt"}};
    const std::string text = header.dump(random.Below(2) == 0 ? -1 : 1) + std::string(random.Below(9), ' ');
    WriteRaw(text, end);
    const auto file = SafetensorsFile::Open(path_);
    ASSERT_TRUE(file.ok()) << file.status() << "\n" << text;
    ASSERT_EQ(file->tensors().size(), tensors.size());
    const std::byte* data = nullptr;
    for (const TensorRange& tensor : tensors) {
      const auto found = file->Find(tensor.name, tensor.shape);
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_EQ((*found)->dtype, tensor.dtype);
      ASSERT_EQ((*found)->bytes.size(), tensor.end - tensor.begin);
      if (data == nullptr) data = (*found)->bytes.data() - tensor.begin;
      EXPECT_EQ((*found)->bytes.data(), data + tensor.begin);
    }
    // And what we write of them is read again.
    const std::string ours = SafetensorsHeaderBytes(file->metadata(), tensors);
    EXPECT_EQ(ours.size() % 8, 0u);
    folder_.Write("model.safetensors", ours + std::string(end, '\0'));
    EXPECT_EQ(SafetensorsFile::Open(path_).value().tensors().size(), tensors.size());
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
    folder_.Write("model.safetensors", bytes);
    const auto file = SafetensorsFile::Open(path_);
    if (file.ok()) {
      EXPECT_LE(file->tensors().size(), 1u) << "seed " << seed;
    }
  }
}

TEST_F(SafetensorsTest, AMissingFileIsNamed) {
  EXPECT_EQ(OpenStatus().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(OpenStatus().message()), HasSubstr(path_));
}

TEST_F(SafetensorsTest, WhatCannotBeWrittenLeavesNothing) {
  const std::string nowhere = folder_.File("none/model.safetensors");
  const absl::Status status = WriteSafetensors(nowhere, {}, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(nowhere));
  std::filesystem::create_directory(path_);
  folder_.Write("model.safetensors/x", "");
  EXPECT_FALSE(WriteSafetensors(path_, {}, {}).ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
}

TEST_F(SafetensorsTest, WeightsTravelUnderTheirHuggingFaceNames) {
  const ModelConfig config = TinyShape();
  std::vector<float> weights(static_cast<size_t>(ParameterCount(config)));
  std::iota(weights.begin(), weights.end(), 0.0f);
  ASSERT_TRUE(SaveWeights(path_, config, weights, {{"version", "0-3"}}).ok());
  const auto file = SafetensorsFile::Open(path_);
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE(file->Find("model.layers.1.self_attn.k_proj.weight", {4, 8}).ok());
  EXPECT_TRUE(file->Find("lm_head.weight", {11, 8}).ok());
  std::vector<float> back(weights.size());
  const auto metadata = LoadWeights(path_, config, back);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  EXPECT_EQ(back, weights);
  EXPECT_EQ(metadata->at("version"), "0-3");
  EXPECT_EQ(metadata->at("format"), "pt");
}

TEST_F(SafetensorsTest, AnotherModelsFileIsRefusedAndNothingIsTouched) {
  const ModelConfig config = TinyShape();
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
  deeper.layers = 3;
  wider.intermediate = 16;
  EXPECT_THAT(load(tied), HasSubstr("tensor 'lm_head.weight': is not of this model"));
  EXPECT_THAT(load(deeper), HasSubstr("tensor 'model.layers.2.input_layernorm.weight': is missing"));
  EXPECT_THAT(load(wider), HasSubstr("has shape [12, 8]; expected [16, 8]"));
  ASSERT_TRUE(
      WriteSafetensors(path_, {}, {{"model.embed_tokens.weight", {11, 8}, std::span(weights).first(88)}}, Dtype::kBF16)
          .ok());
  EXPECT_THAT(load(config), HasSubstr("tensor 'model.embed_tokens.weight': dtype BF16; expected F32"));
}

}  // namespace
}  // namespace tandem
