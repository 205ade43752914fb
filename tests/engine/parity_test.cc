// What the engines generate against what the training pass says of it: the same model, three ways to compute it.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "policy/device.h"
#include "policy/model.h"
#include "rollout/engine/decoder.h"
#include "tests/policy/family_shapes.h"
#include "tests/policy/random_sequences.h"

namespace tandem {
namespace {

constexpr double kTolerance = 2e-5;

// kUnavailable where there is no GPU.
absl::StatusOr<std::unique_ptr<Decoder>> CudaDecoder(const ModelConfig& config, int64_t pages, bool bf16) {
  LoadCuda().IgnoreError();  // brings cuBLAS, where it can
  return MakeCudaDecoder(config, pages, bf16);
}

ModelConfig Config(int64_t hidden, int64_t layers, int64_t heads, int64_t kv_heads, int64_t intermediate, bool tied) {
  return {.vocabulary = 24,
          .hidden = hidden,
          .layers = layers,
          .heads = heads,
          .kv_heads = kv_heads,
          .intermediate = intermediate,
          .context = 64,
          .tied_head = tied};
}

struct Turn {
  std::vector<int32_t> tokens;  // prompt, then output
  size_t prompt;
  std::vector<float> sampled, model;  // log-probabilities of the output
};

// Generates `count` turns at the same time, with prompts of 1 to 12 tokens (read in at once), up to `longest` in all.
std::vector<Turn> Generate(Decoder& decoder, int64_t count, float temperature, size_t longest = 64,
                           const kernels::SamplingFilter& filter = {}) {
  RandomStream random(31);
  std::vector<Turn> turns(static_cast<size_t>(count));
  std::vector<size_t> length;
  for (Turn& turn : turns) {
    turn.prompt = 1 + random.Below(12);
    length.push_back(turn.prompt + 1 + random.Below(longest - turn.prompt));
    for (size_t i = 0; i < turn.prompt; ++i) turn.tokens.push_back(static_cast<int32_t>(random.Below(24)));
  }
  // The last turn has the first pages, so that a turn's pages and its place in the batch differ.
  const int64_t pages_of_turn = CachePages(64, 1);
  std::vector<std::vector<int32_t>> pages(turns.size());
  for (size_t t = 0; t < turns.size(); ++t) {
    for (int64_t i = 0; i < pages_of_turn; ++i) {
      pages[t].push_back(static_cast<int32_t>((count - 1 - static_cast<int64_t>(t)) * pages_of_turn + i));
    }
  }
  std::vector<size_t> read(turns.size(), 0);
  for (bool busy = true; busy;) {
    std::vector<DecodeRow> rows;
    std::vector<size_t> owners;
    for (size_t t = 0; t < turns.size(); ++t) {
      if (turns[t].tokens.size() == length[t]) continue;
      for (; read[t] < turns[t].tokens.size(); ++read[t]) {
        const bool last = read[t] + 1 == turns[t].tokens.size();
        rows.push_back({turns[t].tokens[read[t]], static_cast<int32_t>(read[t]), pages[t].data(), last, temperature,
                        1000 + t, filter});
        if (last) owners.push_back(t);
      }
    }
    std::vector<SampledToken> sampled(owners.size());
    decoder.Run(rows, sampled);
    for (size_t i = 0; i < owners.size(); ++i) {
      Turn& turn = turns[owners[i]];
      turn.tokens.push_back(sampled[i].token);
      turn.sampled.push_back(sampled[i].sampled_logprob);
      turn.model.push_back(sampled[i].model_logprob);
    }
    busy = !rows.empty();
  }
  return turns;
}

// Differences between turns' log-probabilities and the training pass's, without their signs.
at::Tensor Mismatches(Model& model, const std::vector<Turn>& turns) {
  PackedSequences s;
  std::vector<float> generated;
  for (const Turn& turn : turns) {
    for (size_t i = turn.prompt; i < turn.tokens.size(); ++i) {
      s.targets.push_back(static_cast<int32_t>(s.ids.size() + i));
    }
    s.lengths.push_back(static_cast<int32_t>(turn.tokens.size()));
    s.ids.insert(s.ids.end(), turn.tokens.begin(), turn.tokens.end());
    generated.insert(generated.end(), turn.model.begin(), turn.model.end());
  }
  const at::NoGradGuard no_grad;
  const at::Tensor scored = model.Score(s).logprobs;
  EXPECT_EQ(scored.size(0), static_cast<int64_t>(generated.size()));
  return (scored - at::tensor(generated)).abs();
}
double MismatchWith(Model& model, const std::vector<Turn>& turns) {
  return Mismatches(model, turns).max().item<double>();
}

// The decoder that is held against MakeCpuDecoder's, for a shape.
struct Compared {
  ModelConfig shape;
  std::string decoder;  // Aten or CUDA
};

class ParityTest : public testing::TestWithParam<Compared> {
 protected:
  void SetUp() override {
    const ModelConfig& shape = GetParam().shape;
    const bool cuda = GetParam().decoder == "CUDA";
    auto other = cuda ? CudaDecoder(shape, CachePages(64, kTurns), /*bf16=*/false)
                      : MakeAtenDecoder(shape, CachePages(64, kTurns), "cpu", /*bf16=*/false);
    if (cuda && absl::IsUnavailable(other.status())) GTEST_SKIP() << other.status();
    ASSERT_TRUE(other.ok()) << other.status();
    other_ = *std::move(other);
    auto model = Model::Create(shape, "cpu", false);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    model_->flat().copy_(RandomWeights(shape, /*seed=*/41, /*std=*/0.12));
    cpu_ = MakeCpuDecoder(shape, CachePages(64, kTurns));
    const at::Tensor flat = model_->flat();
    const std::span<const float> weights(flat.const_data_ptr<float>(), static_cast<size_t>(flat.numel()));
    ASSERT_TRUE(other_->Load(weights).ok());
    ASSERT_TRUE(cpu_->Load(weights).ok());
  }

  static constexpr int64_t kTurns = 24;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Decoder> other_, cpu_;
};

TEST_P(ParityTest, TheCpuDecoderAgreesWithTheTrainingPass) {
  EXPECT_LT(MismatchWith(*model_, Generate(*cpu_, kTurns, 1)), kTolerance);
}

TEST_P(ParityTest, TheOtherDecoderAgreesWithTheTrainingPass) {
  EXPECT_LT(MismatchWith(*model_, Generate(*other_, kTurns, 1)), kTolerance);
}

// In bfloat16 the CPU's kernels are as far from the float32 training pass as ATen's bfloat16 is; 8 bits are further
// off, but no other model.
TEST_P(ParityTest, FewerBitsCostWhatTheyMust) {
  const at::Tensor flat = model_->flat();
  const std::span<const float> weights(flat.const_data_ptr<float>(), static_cast<size_t>(flat.numel()));
  const auto mean_mismatch = [&](Decoder& decoder) {
    EXPECT_TRUE(decoder.Load(weights).ok());
    return Mismatches(*model_, Generate(decoder, kTurns, 1)).mean().item<double>();
  };
  auto aten = MakeAtenDecoder(GetParam().shape, CachePages(64, kTurns), "cpu", /*bf16=*/true);
  ASSERT_TRUE(aten.ok()) << aten.status();
  const double reference = mean_mismatch(**aten);
  const double bf16 =
      mean_mismatch(*MakeCpuDecoder(GetParam().shape, CachePages(64, kTurns), kernels::WeightType::kBf16));
  const double int8 =
      mean_mismatch(*MakeCpuDecoder(GetParam().shape, CachePages(64, kTurns), kernels::WeightType::kInt8));
  RecordProperty("aten_bf16_nats", std::to_string(reference));
  RecordProperty("bf16_nats", std::to_string(bf16));
  RecordProperty("int8_nats", std::to_string(int8));
  EXPECT_GT(bf16, kTolerance / 10);
  EXPECT_LT(bf16, 1.25 * reference);
  EXPECT_GT(int8, bf16 / 10);
  EXPECT_LT(int8, 10 * reference);
}

TEST_P(ParityTest, BothDecodersDrawTheSameTokens) {
  for (const float temperature : {0.0f, 0.7f, 1.0f, 1.5f}) {
    const std::vector<Turn> a = Generate(*cpu_, kTurns, temperature), b = Generate(*other_, kTurns, temperature);
    for (size_t t = 0; t < a.size(); ++t) {
      ASSERT_EQ(a[t].tokens, b[t].tokens) << "temperature " << temperature << ", turn " << t;
      for (size_t i = 0; i < a[t].model.size(); ++i) {
        EXPECT_NEAR(a[t].model[i], b[t].model[i], kTolerance) << "temperature " << temperature;
        EXPECT_NEAR(a[t].sampled[i], b[t].sampled[i], kTolerance) << "temperature " << temperature;
        if (temperature == 1) {
          EXPECT_EQ(b[t].model[i], b[t].sampled[i]);
        }
        if (temperature == 0) {
          EXPECT_EQ(b[t].sampled[i], 0);
        }
      }
    }
  }
}

TEST_P(ParityTest, WhatAFilterLeavesIsDrawnAsOftenAsItsShare) {
  const kernels::SamplingFilter filter = {.top_k = 6, .top_p = 0.8f, .min_p = 0.1f};
  const std::vector<Turn> a = Generate(*cpu_, kTurns, 0.9f, 64, filter),
                          b = Generate(*other_, kTurns, 0.9f, 64, filter);
  EXPECT_LT(MismatchWith(*model_, a), kTolerance) << "the model's own log-probabilities know nothing of the filter";
  size_t certain = 0, tokens = 0;
  for (size_t t = 0; t < a.size(); ++t) {
    ASSERT_EQ(a[t].tokens, b[t].tokens) << "turn " << t;
    for (size_t i = 0; i < a[t].model.size(); ++i, ++tokens) {
      EXPECT_NEAR(a[t].sampled[i], b[t].sampled[i], kTolerance);
      EXPECT_GE(a[t].sampled[i], std::log(1.0 / 24) - kTolerance);
      certain += a[t].sampled[i] == 0;
    }
  }
  EXPECT_LT(certain, tokens) << "the filter left one token each time";
}

TEST_P(ParityTest, ACopiedPageGoesOnLikeItsOriginal) {
  for (Decoder* decoder : {cpu_.get(), other_.get()}) {
    const std::vector<int32_t> first = {7, 2}, second = {7, 5};
    std::vector<DecodeRow> prompt;
    for (int32_t i = 0; i < 20; ++i) prompt.push_back({i, i, first.data(), false, 1, 0});
    decoder->Run(prompt, {});
    decoder->CopyPage(2, 5);
    const std::vector<DecodeRow> next = {{3, 20, first.data(), true, 1, 9}, {3, 20, second.data(), true, 1, 9}};
    std::vector<SampledToken> sampled(2);
    decoder->Run(next, sampled);
    EXPECT_EQ(sampled[0].token, sampled[1].token);
    // Of other decoders the libraries may treat two rows of a batch in different ways.
    EXPECT_NEAR(sampled[0].model_logprob, sampled[1].model_logprob, decoder == cpu_.get() ? 0 : 1e-5);
  }
}

std::vector<Compared> AllCompared() {
  std::vector<Compared> all;
  for (const char* decoder : {"Aten", "CUDA"}) {
    for (const ModelConfig& shape :
         {Config(64, 2, 4, 4, 192, true), Config(48, 2, 6, 2, 80, true), Config(32, 3, 4, 1, 72, false),
          Config(128, 3, 4, 4, 384, false), Qwen2Shape(), Qwen3Shape(), Llama3Shape()}) {
      all.push_back({shape, decoder});
    }
  }
  return all;
}
INSTANTIATE_TEST_SUITE_P(Shapes, ParityTest, testing::ValuesIn(AllCompared()), [](const auto& info) {
  const ModelConfig& shape = info.param.shape;
  return absl::StrCat(info.param.decoder, "Hidden", shape.hidden, "KvHeads", shape.kv_heads);
});

class Bf16Test : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Decoder, Bf16Test, testing::Values("Aten", "CUDA"),
                         [](const auto& info) { return info.param; });

TEST_P(Bf16Test, ComesCloseToFloat32) {
  const ModelConfig config = Config(64, 2, 4, 2, 96, true);
  auto decoder = GetParam() == "CUDA" ? CudaDecoder(config, CachePages(64, 8), /*bf16=*/true)
                                      : MakeAtenDecoder(config, CachePages(64, 8), "cpu", /*bf16=*/true);
  if (GetParam() == "CUDA" && absl::IsUnavailable(decoder.status())) GTEST_SKIP() << decoder.status();
  ASSERT_TRUE(decoder.ok());
  auto model = Model::Create(config, "cpu", false);
  ASSERT_TRUE(model.ok());
  (*model)->flat().copy_(RandomWeights(config, 42, 0.1));
  const at::Tensor flat = (*model)->flat();
  ASSERT_TRUE((*decoder)->Load({flat.const_data_ptr<float>(), static_cast<size_t>(flat.numel())}).ok());
  const double mismatch = MismatchWith(**model, Generate(**decoder, 4, 1, 20));
  EXPECT_LT(mismatch, 0.2);
  EXPECT_GT(mismatch, 1e-4) << "not computed in bf16";
}

// Steps that were recorded with other weights, and other sets of weights, read the ones that are loaded and in use.
TEST(CudaDecoderTest, RecordedStepsReadNewWeights_CUDA) {
  const ModelConfig config = Config(64, 2, 4, 2, 96, true);
  auto decoder = CudaDecoder(config, CachePages(64, 8), /*bf16=*/true);
  if (absl::IsUnavailable(decoder.status())) GTEST_SKIP() << decoder.status();
  ASSERT_TRUE(decoder.ok()) << decoder.status();
  const auto generate = [&](int32_t set, uint64_t seed, bool load) {
    const at::Tensor flat = RandomWeights(config, seed, 0.1);
    (*decoder)->Use(set);
    if (load) {
      EXPECT_TRUE((*decoder)->Load({flat.const_data_ptr<float>(), static_cast<size_t>(flat.numel())}).ok());
    }
    std::vector<float> model;
    for (const Turn& turn : Generate(**decoder, 4, 1)) model.insert(model.end(), turn.model.begin(), turn.model.end());
    return model;
  };
  const std::vector<float> first = generate(0, 1, true), second = generate(0, 2, true);
  EXPECT_NE(first, second);
  EXPECT_EQ(generate(1, 1, true), first);
  EXPECT_EQ(generate(0, 2, false), second);
  EXPECT_EQ(generate(0, 1, true), first);
}

TEST(AtenDecoderTest, BadInputIsRefused) {
  const ModelConfig config = Config(64, 2, 4, 2, 96, true);
  auto decoder = MakeAtenDecoder(config, 2, "cpu", false);
  ASSERT_TRUE(decoder.ok());
  const std::vector<float> few(10);
  EXPECT_EQ((*decoder)->Load(few).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeAtenDecoder(config, 2, "tpu", false).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem
