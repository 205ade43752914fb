// Turns, weights and a reference for tests of the engine.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <vector>

#include "base/random.h"
#include "policy/model_config.h"
#include "rollout/engine/decoder.h"
#include "rollout/engine/engine.h"

namespace tandem {

inline ModelConfig TinyModel() {
  return {.vocabulary = 12, .hidden = 32, .layers = 2, .heads = 4, .kv_heads = 2, .intermediate = 40, .context = 40};
}

// Weights of about unit logits that depend on the version alone.
inline std::vector<float> WeightsOf(const ModelConfig& config, VersionId version) {
  RandomStream random(MixKey(version.incarnation, version.number));
  std::vector<float> weights(ParameterCount(config));
  for (const Parameter& parameter : ParameterLayout(config)) {
    const bool norm = parameter.shape.size() == 1;
    const double scale = norm ? 0.2 : 2.5 / std::sqrt(static_cast<double>(parameter.shape.back()));
    for (int64_t i = 0; i < parameter.size(); ++i) {
      weights[parameter.offset + i] = static_cast<float>((norm ? 1 : 0) + scale * (2 * random.Uniform() - 1));
    }
  }
  return weights;
}

// A turn with a prompt out of few, so that prompts are shared.
inline GenerateRequest RandomTurn(const ModelConfig& config, RandomStream& random) {
  const uint64_t which = random.Below(12);
  RandomStream prompt_random(MixKey(77, which));
  GenerateRequest request;
  const auto size = 1 + prompt_random.Below(which == 0 ? 30 : 9);
  for (uint64_t i = 0; i < size; ++i)
    request.prompt.push_back(static_cast<int32_t>(prompt_random.Below(config.vocabulary)));
  constexpr float kTemperatures[] = {1, 1, 1, 0.7f, 0};
  request.temperature = kTemperatures[random.Below(5)];
  request.max_new_tokens = static_cast<int32_t>(1 + random.Below(25));
  if (random.Below(2) == 0) request.stop_ids = {0};
  request.random_key = random.Next();
  return request;
}

inline std::vector<VersionId> Expand(const std::vector<VersionCount>& runs) {
  std::vector<VersionId> versions;
  for (const VersionCount& run : runs) versions.insert(versions.end(), run.count, run.version);
  return versions;
}

// Computes a turn alone, row after row, from nothing but its request and its version runs: what the engine promises.
class Replay {
 public:
  explicit Replay(const ModelConfig& config)
      : config_(config), decoder_(MakeCpuDecoder(config, CachePages(config.context, 1))) {
    pages_.resize(static_cast<size_t>(decoder_->pages()));
    std::iota(pages_.begin(), pages_.end(), 0);
  }

  // Expects that `result` is, bit for bit, what the request and the runs say.
  void Check(const GenerateRequest& request, const GenerateResult& result) {
    const size_t output = result.output.size();
    ASSERT_EQ(Expand(result.version_runs).size(), output);
    ASSERT_EQ(result.sampled_logprobs.size(), output);
    ASSERT_EQ(result.model_logprobs.size(), output);
    ASSERT_EQ(Expand(result.cache_runs).size(), request.prompt.size() + output - 1);
    size_t written = 0;
    for (const CacheRestart& restart : result.restarts) {
      ASSERT_GT(restart.output, written);
      ASSERT_NO_FATAL_FAILURE(CheckTokens(request, result, restart.cache_runs, written, restart.output));
      written = restart.output;
    }
    ASSERT_NO_FATAL_FAILURE(CheckTokens(request, result, result.cache_runs, written, output));
    CheckEnd(request, result);
  }

 private:
  // Tokens begin .. end-1 of the output, which were written from one cache.
  void CheckTokens(const GenerateRequest& request, const GenerateResult& result, const VersionRuns& cache_runs,
                   size_t begin, size_t end) {
    const std::vector<VersionId> cache = Expand(cache_runs), writers = Expand(result.version_runs);
    const size_t prompt = request.prompt.size();
    ASSERT_EQ(cache.size(), prompt + end - 1);
    for (size_t position = 0; position < cache.size(); ++position) {
      Use(cache[position]);
      const bool sample = position + 1 >= prompt + begin;
      const int32_t token = position < prompt ? request.prompt[position] : result.output[position - prompt];
      const DecodeRow row{.token = token,
                          .position = static_cast<int32_t>(position),
                          .pages = pages_.data(),
                          .sample = sample,
                          .temperature = request.temperature,
                          .random_key = request.random_key};
      SampledToken sampled{};
      decoder_->Run({&row, 1}, {&sampled, sample ? 1u : 0u});
      if (!sample) continue;
      const size_t i = position + 1 - prompt;
      ASSERT_EQ(writers[i], cache[position]);  // one version in a decode step
      ASSERT_EQ(sampled.token, result.output[i]) << "token " << i;
      ASSERT_EQ(sampled.sampled_logprob, result.sampled_logprobs[i]) << "token " << i;
      ASSERT_EQ(sampled.model_logprob, result.model_logprobs[i]) << "token " << i;
    }
  }

  void CheckEnd(const GenerateRequest& request, const GenerateResult& result) {
    for (size_t i = 0; i + 1 < result.output.size(); ++i) ASSERT_FALSE(request.Stops(result.output[i]));
    const auto room = std::min<int64_t>(request.max_new_tokens, config_.context - request.prompt.size());
    if (result.finish == proto::STOP) {
      EXPECT_TRUE(request.Stops(result.output.back()));
    } else {
      EXPECT_EQ(result.finish, proto::LENGTH);
      EXPECT_EQ(static_cast<int64_t>(result.output.size()), room);
    }
  }

  void Use(VersionId version) {
    if (loaded_ && version == version_) return;
    auto& weights = weights_[version];
    if (weights.empty()) weights = WeightsOf(config_, version);
    ASSERT_TRUE(decoder_->Load(weights).ok());
    version_ = version;
    loaded_ = true;
  }

  const ModelConfig config_;
  std::unique_ptr<Decoder> decoder_;
  std::vector<int32_t> pages_;
  std::map<VersionId, std::vector<float>> weights_;
  VersionId version_;
  bool loaded_ = false;
};

}  // namespace tandem
