// The CPU engine's arithmetic: kernels/cpu put together to a transformer.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "kernels/attention.h"
#include "kernels/packed_linear.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/sampling.h"
#include "policy/rope.h"
#include "rollout/engine/decoder.h"
#include "rollout/engine/packed_weights.h"
#include "rollout/engine/page_cache.h"

namespace tandem {
namespace {

// Rows that go through all layers together. Their activations should stay in the second-level cache beside the weights.
constexpr int64_t kChunk = 96;

class CpuDecoder final : public Decoder {
 public:
  CpuDecoder(const ModelConfig& config, int64_t pages, kernels::WeightType type)
      : config_(config),
        type_(type),
        shape_{config.heads, config.kv_heads, config.head_size()},
        q_width_(config.heads * config.head_size()),
        kv_width_(config.kv_heads * config.head_size()),
        cache_(shape_, config.layers, pages),
        rope_(config) {
    Use(0);
    const int64_t widest = std::max({config.hidden, q_width_, config.intermediate});
    inputs_.Resize(kernels::LinearScratch(type, kChunk, widest));
    x_.Resize(kChunk * config.hidden);
    normed_.Resize(kChunk * config.hidden);
    qkv_.Resize(kChunk * (q_width_ + 2 * kv_width_));
    attended_.Resize(kChunk * q_width_);
    gated_.Resize(kChunk * config.intermediate);
    logits_.Resize(kChunk * config.vocabulary);
    scratch_.Resize(
        std::max(kernels::AttendScratch(shape_, config.context), kernels::SampleScratch(config.vocabulary)));
  }

  const ModelConfig& config() const override { return config_; }
  int64_t pages() const override { return cache_.pages(); }
  void Use(int32_t set) override {
    while (sets_.size() <= static_cast<size_t>(set)) sets_.push_back(std::make_unique<PackedWeights>(config_, type_));
    weights_ = sets_[static_cast<size_t>(set)].get();
  }
  absl::Status Load(std::span<const float> weights) override { return weights_->Load(weights, 0, 1); }
  absl::Status LoadPart(int32_t set, std::span<const float> weights, int64_t part, int64_t parts) override {
    Use(set);
    return weights_->Load(weights, part, parts);
  }
  void CopyPage(int32_t from, int32_t to) override { cache_.Copy(from, to); }

  void Run(std::span<const DecodeRow> rows, std::span<SampledToken> sampled) override {
    size_t done = 0;
    for (size_t first = 0; first < rows.size(); first += kChunk) {
      done += RunChunk(rows.subspan(first, std::min<size_t>(kChunk, rows.size() - first)), sampled.subspan(done));
    }
    TANDEM_CHECK(done == sampled.size());
  }

 private:
  // All layers for at most kChunk rows; returns how many tokens were sampled.
  size_t RunChunk(std::span<const DecodeRow> rows, std::span<SampledToken> sampled) {
    for (const DecodeRow& row : rows) {
      TANDEM_CHECK(row.token >= 0 && row.token < config_.vocabulary);
      TANDEM_CHECK(row.position >= 0 && row.position < config_.context);
      rope_.Cover(row.position + 1);
    }
    live_.assign(rows.begin(), rows.end());
    FindPages();
    Embed();
    for (int64_t n = 0; n < config_.layers; ++n) Layer(n);
    return SampleRows(sampled);
  }

  int64_t count() const { return static_cast<int64_t>(live_.size()); }

  // The pages of all rows, one row after the other.
  void FindPages() {
    pages_.clear();
    first_page_.clear();
    for (const DecodeRow& row : live_) {
      first_page_.push_back(pages_.size());
      for (int32_t i = 0; i <= row.position / kCachePage; ++i) pages_.push_back(cache_.Page(row.pages[i]));
    }
  }

  void Embed() {
    for (int64_t r = 0; r < count(); ++r) {
      weights_->Embed(live_[r].token, x_.data() + r * config_.hidden);
    }
  }

  void Layer(int64_t n) {
    const LayerWeights& layer = weights_->layer(n);
    const float epsilon = static_cast<float>(config_.norm_epsilon);
    Project(n, layer, epsilon);
    // Of rows that do not sample, the last layer has nothing to give but its keys and values.
    const bool last = n + 1 == config_.layers;
    for (int64_t r = 0; r < count(); ++r) StoreTurned(layer, n, r);
    for (int64_t r = 0; r < count(); ++r) {
      if (!last || live_[r].sample) Attend(n, r);
    }
    if (last) DropUnsampled();
    kernels::LinearAdd(layer.o, layer.o_bias, attended_.data(), count(), inputs_.data(), x_.data());
    kernels::RmsNorm(x_.data(), count(), config_.hidden, layer.mlp_norm, epsilon, normed_.data());
    kernels::LinearSwiGlu(layer.gate_up, layer.gate_up_bias, normed_.data(), count(), inputs_.data(), gated_.data());
    kernels::LinearAdd(layer.down, layer.down_bias, gated_.data(), count(), inputs_.data(), x_.data());
  }

  // Queries, keys and values of all rows into qkv_.
  void Project(int64_t n, const LayerWeights& layer, float epsilon) {
    const int64_t width = q_width_ + 2 * kv_width_;
    if (n == 0 && weights_->has_first_projections()) {
      for (int64_t r = 0; r < count(); ++r) {
        std::memcpy(qkv_.data() + r * width, weights_->first_projection(live_[r].token), width * sizeof(float));
      }
      return;
    }
    kernels::RmsNorm(x_.data(), count(), config_.hidden, layer.attention_norm, epsilon, normed_.data());
    kernels::Linear(layer.qkv, layer.qkv_bias, normed_.data(), count(), inputs_.data(), qkv_.data());
  }

  // Turns the row's query and key, and stores key and value.
  void StoreTurned(const LayerWeights& layer, int64_t n, int64_t r) {
    const DecodeRow& row = live_[r];
    float *query = Query(r), *key = query + q_width_;
    if (config_.qk_norm) {
      const float epsilon = static_cast<float>(config_.norm_epsilon);
      kernels::RmsNorm(query, shape_.heads, shape_.head_size, layer.q_norm, epsilon, query);
      kernels::RmsNorm(key, shape_.kv_heads, shape_.head_size, layer.k_norm, epsilon, key);
    }
    kernels::Rotary(query, shape_.heads + shape_.kv_heads, shape_.head_size, rope_.cosine(row.position),
                    rope_.sine(row.position));
    float* page = pages_[first_page_[r] + row.position / kCachePage] + n * cache_.layer_size();
    kernels::StoreKeyValue(shape_, key, key + kv_width_, row.position % kCachePage, page);
  }

  // Rows of one sequence: each attends up to its own position, whatever is behind that already.
  void Attend(int64_t n, int64_t r) {
    kernels::Attend(shape_, Query(r), std::span(pages_).subspan(first_page_[r]), n * cache_.layer_size(),
                    live_[r].position + 1, scratch_.data(), attended_.data() + r * q_width_);
  }
  float* Query(int64_t r) { return qkv_.data() + r * (q_width_ + 2 * kv_width_); }

  // Moves the rows that sample to the front.
  void DropUnsampled() {
    int64_t kept = 0;
    for (int64_t r = 0; r < count(); ++r) {
      if (!live_[r].sample) continue;
      if (kept != r) {
        live_[kept] = live_[r];
        std::memcpy(x_.data() + kept * config_.hidden, x_.data() + r * config_.hidden, config_.hidden * sizeof(float));
        std::memcpy(attended_.data() + kept * q_width_, attended_.data() + r * q_width_, q_width_ * sizeof(float));
      }
      ++kept;
    }
    live_.resize(kept);
  }

  size_t SampleRows(std::span<SampledToken> sampled) {
    TANDEM_CHECK(sampled.size() >= live_.size());
    kernels::RmsNorm(x_.data(), count(), config_.hidden, weights_->final_norm(),
                     static_cast<float>(config_.norm_epsilon), normed_.data());
    kernels::Linear(weights_->head(), nullptr, normed_.data(), count(), inputs_.data(), logits_.data());
    float temperatures[kChunk], uniforms[kChunk];
    kernels::Draw draws[kChunk];
    for (int64_t r = 0; r < count(); ++r) {
      temperatures[r] = live_[r].temperature;
      uniforms[r] = UniformFloat(Philox(live_[r].random_key, static_cast<uint64_t>(live_[r].position) + 1)[0]);
    }
    kernels::Sample(logits_.data(), count(), config_.vocabulary, temperatures, uniforms, scratch_.data(), draws);
    for (int64_t r = 0; r < count(); ++r) {
      if (live_[r].filter.any() && temperatures[r] > 0) DrawFiltered(r, uniforms[r], &draws[r]);
      sampled[r] = {draws[r].token, draws[r].sampled_logprob, draws[r].model_logprob};
    }
    return live_.size();
  }

  // Draws row r again, from the tokens that its filter leaves. `draw`: one from all of them.
  void DrawFiltered(int64_t r, float uniform, kernels::Draw* draw) {
    float* logits = logits_.data() + r * config_.vocabulary;
    const float log_sum = logits[draw->token] - draw->model_logprob;
    const float temperature = live_[r].temperature;
    kernels::FilterLogits(live_[r].filter, temperature, config_.vocabulary, logits, &kept_);
    kernels::Sample(logits, 1, config_.vocabulary, &temperature, &uniform, scratch_.data(), draw);
    draw->model_logprob = logits[draw->token] - log_sum;
  }

  const ModelConfig config_;
  const kernels::WeightType type_;
  const kernels::AttentionShape shape_;
  const int64_t q_width_, kv_width_;
  std::vector<std::unique_ptr<PackedWeights>> sets_;
  PackedWeights* weights_ = nullptr;  // the set in use
  PageCache cache_;
  RopeTable rope_;
  std::vector<float*> pages_;
  std::vector<size_t> first_page_;  // of a row, in pages_
  // The rows of the chunk in work, and their activations.
  std::vector<DecodeRow> live_;
  AlignedFloats x_;         // [kChunk, hidden], the residual stream
  AlignedFloats normed_;    // [kChunk, hidden]
  AlignedFloats qkv_;       // [kChunk, q_width + 2 kv_width]
  AlignedFloats attended_;  // [kChunk, q_width]
  AlignedFloats gated_;     // [kChunk, intermediate]
  AlignedFloats logits_;    // [kChunk, vocabulary]
  AlignedFloats scratch_;
  AlignedBytes inputs_;        // scratch of the linear layers
  std::vector<int32_t> kept_;  // scratch of FilterLogits
};

}  // namespace

std::unique_ptr<Decoder> MakeCpuDecoder(const ModelConfig& config, int64_t pages, kernels::WeightType weights) {
  return std::make_unique<CpuDecoder>(config, pages, weights);
}

}  // namespace tandem
