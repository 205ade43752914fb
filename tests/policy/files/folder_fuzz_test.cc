// Damaged folders: whatever a file says, loading ends with a model or with an error, never with a crash, a wait, or
// memory that the files do not account for. tests/sanitize runs it under the address and undefined-behaviour
// sanitizers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "policy/files/model_folder.h"
#include "policy/files/save_model_folder.h"
#include "tests/policy/files/temporary_folder.h"
#include "tests/policy/files/tiny_model.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// More runs: TANDEM_FUZZ_RUNS=1000000 model_files_tests --gtest_filter='*Fuzz*'
uint64_t FuzzRuns(uint64_t usual) {
  const char* asked = std::getenv("TANDEM_FUZZ_RUNS");
  return asked == nullptr ? usual : std::strtoull(asked, nullptr, 10);
}

// Numbers and values that checks are likely to get wrong.
json NastyValue(RandomStream& random) {
  static const std::vector<json> values = {nullptr,
                                           true,
                                           false,
                                           0,
                                           1,
                                           -1,
                                           2,
                                           7,
                                           8,
                                           64,
                                           4096,
                                           1 << 20,
                                           1 << 24,
                                           int64_t{1} << 31,
                                           int64_t{1} << 32,
                                           int64_t{1} << 40,
                                           int64_t{1} << 62,
                                           INT64_MAX,
                                           INT64_MIN,
                                           UINT64_MAX,
                                           UINT64_MAX - 7,
                                           0.5,
                                           -0.0,
                                           1e18,
                                           1e300,
                                           1e-300,
                                           "",
                                           "F32",
                                           "BF16",
                                           "I64",
                                           "llama",
                                           "llama3",
                                           "../x.safetensors",
                                           "model.safetensors",
                                           json::array(),
                                           json::object(),
                                           json::array({0, 0}),
                                           json::array({0, UINT64_MAX}),
                                           json::array({UINT64_MAX, UINT64_MAX}),
                                           json::array({1 << 20, 1 << 20, 1 << 20}),
                                           json::array({int64_t{1} << 40, int64_t{1} << 24, 0}),
                                           json({{"rope_type", "llama3"}}),
                                           std::string(300, 'x'),
                                           std::string("a\nb")};
  return values[random.Below(values.size())];
}

// Changes something somewhere: walks down at random, then replaces, removes, renames, doubles or swaps what it found.
void Damage(json& value, RandomStream& random) {
  if (value.is_structured() && !value.empty() && random.Below(5) != 0) {
    auto chosen = value.begin();
    std::advance(chosen, static_cast<int64_t>(random.Below(value.size())));
    if (random.Below(3) != 0) return Damage(*chosen, random);
    const json old = *chosen;
    if (value.is_array()) {
      random.Below(2) == 0 ? value.push_back(old) : (void)value.erase(chosen);
      return;
    }
    const std::string key = chosen.key();
    switch (random.Below(3)) {
      case 0:
        value.erase(key);
        return;
      case 1:
        value.erase(key);
        value[key + "x"] = old;
        return;
      default:
        value[key] = *std::next(value.begin(), static_cast<int64_t>(random.Below(value.size())));
        return;
    }
  }
  if (value.is_number_integer() && random.Below(2) == 0) {
    value = static_cast<int64_t>(value.get<uint64_t>() + random.Below(17) - 8);  // wraps around where it has to
  } else {
    value = NastyValue(random);
  }
}

void DamageBytes(std::string& bytes, RandomStream& random) {
  if (bytes.empty()) return;
  switch (random.Below(5)) {
    case 0:
      bytes.resize(random.Below(bytes.size()));
      return;
    case 1:
      bytes.insert(random.Below(bytes.size()), std::string(1 + random.Below(20), static_cast<char>(random.Next())));
      return;
    case 2:
      bytes.erase(random.Below(bytes.size()), 1 + random.Below(20));
      return;
    default:
      for (uint64_t i = 1 + random.Below(4); i > 0; --i) {
        const size_t most = random.Below(2) == 0 ? bytes.size() : std::min<size_t>(bytes.size(), 200);
        bytes[random.Below(most)] = static_cast<char>(random.Next());
      }
  }
}

// A safetensors file is damaged as JSON within intact framing, or as bytes.
void DamageSafetensors(std::string& bytes, RandomStream& random) {
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  switch (random.Below(4)) {
    case 0:
      return DamageBytes(bytes, random);
    case 1: {
      const uint64_t lies[] = {0,
                               1,
                               size - 1,
                               size + 1,
                               size + 8,
                               bytes.size(),
                               bytes.size() - 8,
                               100'000'001,
                               uint64_t{1} << 63,
                               ~uint64_t{0},
                               ~uint64_t{0} - 7,
                               random.Next()};
      std::memcpy(bytes.data(), &lies[random.Below(std::size(lies))], sizeof size);
      return;
    }
    default: {
      const std::string data = bytes.substr(8 + size);
      json header = json::parse(bytes.substr(8, size));
      for (uint64_t i = 1 + random.Below(2); i > 0; --i) Damage(header, random);
      const std::string text = header.dump();
      size = text.size();
      bytes = std::string(reinterpret_cast<const char*>(&size), sizeof size) + text + data;
    }
  }
}

struct FuzzFile {
  std::string name, good;
};

class FolderFuzzTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    ModelConfig shape = TinyShape();
    shape.tied_head = GetParam();
    shape.qk_norm = true;
    shape.rope_scaling = RopeScaling{};
    ASSERT_TRUE(SaveModelFolder(path_, shape, RandomWeights(shape, 1),
                                {.dtype = GetParam() ? Dtype::kF16 : Dtype::kF32,
                                 .ends = EndTokens{{1, 2}, 0},
                                 .most_shard_bytes = GetParam() ? 700 : int64_t{1} << 30})
                    .ok());
    root_.Write("model/generation_config.json", R"({"eos_token_id": [1, 2], "temperature": 0.7, "top_k": 20})");
    for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {
      files_.push_back({entry.path().filename(), ReadFile(entry.path()).value()});
    }
    std::sort(files_.begin(), files_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  }

  // Loads what is there as a program would. Returns whether it is a model.
  bool Load() {
    const auto folder = LoadModelFolder(path_);
    if (!folder.ok()) {
      EXPECT_FALSE(folder.status().message().empty());
      EXPECT_EQ(folder.status().message().find('\n'), std::string::npos) << folder.status();
      EXPECT_LT(folder.status().message().size(), 2000u);
      return false;
    }
    const int64_t count = ParameterCount(folder->shape());
    EXPECT_LE(count, 10'000);  // what the files hold: checked before anybody asks for memory
    if (count > 10'000) return false;
    std::vector<float> flat(static_cast<size_t>(count));
    return ReadWeights(*folder, flat).ok();
  }

  TemporaryFolder root_;
  std::string path_ = root_.File("model");
  std::vector<FuzzFile> files_;
};

TEST_P(FolderFuzzTest, ADamagedFolderIsAModelOrAnError) {
  ASSERT_TRUE(Load());
  uint64_t models = 0;
  const uint64_t runs = FuzzRuns(1500);
  for (uint64_t seed = 0; seed < runs; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomStream random(seed);
    const FuzzFile& file = files_[random.Below(files_.size())];
    std::string bytes = file.good;
    if (random.Below(40) == 0) {
      fs::remove(root_.File("model/" + file.name));
    } else {
      if (file.name.ends_with(".safetensors")) {
        DamageSafetensors(bytes, random);
      } else if (random.Below(3) == 0) {
        DamageBytes(bytes, random);
      } else {
        json fields = json::parse(bytes);
        for (uint64_t i = 1 + random.Below(2); i > 0; --i) Damage(fields, random);
        bytes = fields.dump();
      }
      root_.Write("model/" + file.name, bytes);
    }
    models += Load() ? 1 : 0;
    root_.Write("model/" + file.name, file.good);
    if (HasFailure()) break;
  }
  EXPECT_TRUE(Load());
  // Damage to weights, to unknown fields, to most numbers: a part of the folders must stay models, or nothing is tested
  // but the first check.
  EXPECT_GT(models, runs / 50);
  EXPECT_LT(models, runs);
}

INSTANTIATE_TEST_SUITE_P(Folders, FolderFuzzTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Shards" : "OneFile"; });

}  // namespace
}  // namespace tandem
