// A decoder without a model, for the real engine: writes plans and results that are mostly, but not always, good. What
// it writes depends on the sequence's tokens, the random key, the position and the first weight, as a model's tokens
// would.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "policy/tokenizer/character_tokenizer.h"
#include "rollout/engine/decoder.h"

namespace tandem {

class BabblingDecoder final : public Decoder {
 public:
  BabblingDecoder(ModelConfig config, int64_t pages, CharacterTokenizer tokenizer)
      : config_(config), tokenizer_(std::move(tokenizer)), pages_(static_cast<size_t>(pages)) {}

  const ModelConfig& config() const override { return config_; }
  int64_t pages() const override { return static_cast<int64_t>(pages_.size()); }

  void Use(int32_t set) override { set_ = set; }
  absl::Status Load(std::span<const float> weights) override {
    if (static_cast<int64_t>(weights.size()) != ParameterCount(config_)) return absl::InvalidArgumentError("size");
    versions_[set_] = static_cast<uint64_t>(weights[0]);
    return absl::OkStatus();
  }

  void Run(std::span<const DecodeRow> rows, std::span<SampledToken> sampled) override {
    size_t next = 0;
    for (const DecodeRow& row : rows) {
      pages_[static_cast<size_t>(row.pages[row.position / kCachePage])][row.position % kCachePage] = row.token;
      if (!row.sample) continue;
      std::vector<int32_t> tokens;
      for (int32_t p = 0; p <= row.position; ++p) {
        tokens.push_back(pages_[static_cast<size_t>(row.pages[p / kCachePage])][p % kCachePage]);
      }
      uint64_t key = MixKey(row.random_key, row.position + 1 + 1000 * versions_[set_]);
      for (int32_t token : tokens) key = MixKey(key, token);
      RandomStream random(key);
      const int32_t token = Next(tokenizer_.Decode(tokens), random);
      const float logprob = -static_cast<float>(random.Uniform());
      sampled[next++] = {token, logprob, logprob / 2};
    }
    TANDEM_CHECK(next == sampled.size());
  }

  void CopyPage(int32_t from, int32_t to) override {
    pages_[static_cast<size_t>(to)] = pages_[static_cast<size_t>(from)];
  }

 private:
  int32_t Next(const std::string& text, RandomStream& random) const {
    if (random.Uniform() < 0.01) return static_cast<int32_t>(random.Below(config_.vocabulary));
    const size_t prompt_end = text.find('=') + 1;
    const std::string written = text.substr(prompt_end);
    const bool executor = prompt_end == 4;
    const std::string shape = executor ? "0" : "A=0+0;B=A+0;C=B+0";
    if (written.size() >= shape.size()) return CharacterTokenizer::kEnd;
    char c = shape[written.size()];
    if (c == '0') c = static_cast<char>('0' + random.Below(10));
    if (c == '+') c = "+-*"[random.Below(3)];
    return (*tokenizer_.Encode(std::string(1, c)))[0];
  }

  const ModelConfig config_;
  const CharacterTokenizer tokenizer_;
  int32_t set_ = 0;
  std::map<int32_t, uint64_t> versions_;                // by set
  std::vector<std::array<int32_t, kCachePage>> pages_;  // tokens
};

// Flat weights that make a babbler of version `number`.
inline std::vector<float> BabblingWeights(const ModelConfig& config, uint32_t number) {
  return std::vector<float>(ParameterCount(config), static_cast<float>(number));
}

}  // namespace tandem
