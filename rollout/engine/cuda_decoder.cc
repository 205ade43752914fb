// The engine's arithmetic on a GPU: kernels/cuda and cuBLAS put together to a transformer. A decode step, in which
// every row samples, is a graph that was recorded for its number of rows, rounded up; other passes are queued one by
// one. Attention treats each row by itself, so that prompts take the same road.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/random.h"
#include "base/status.h"
#include "kernels/attention.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/key_splits.h"
#include "kernels/cuda/rows.h"
#include "kernels/rms_norm.h"
#include "kernels/sampling.h"
#include "kernels/swiglu.h"
#include "policy/rope.h"
#include "rollout/engine/cuda_batch.h"
#include "rollout/engine/cuda_memory.h"
#include "rollout/engine/cuda_weights.h"
#include "rollout/engine/decoder.h"

namespace tandem {
namespace {

namespace gpu = kernels::cuda;

constexpr int64_t kPassRows = 1024;     // that go through the layers together
constexpr int64_t kGraphRows = 256;     // of the largest graph; logits, and partial attention, are held for so many
constexpr int64_t kHeadSizeMost = 256;  // that gpu::Attend takes

// A pass that fails has no caller who could go on without it.
void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "the GPU failed in the middle of a decode step: %s\n", status.ToString().c_str());
  std::abort();
}

// 1, 2, 4, ..., 256.
int64_t RowsOfGraph(int64_t rows) {
  int64_t rounded = 1;
  while (rounded < rows) rounded *= 2;
  return rounded;
}

// Splits of a row of `length` positions, rounded up to few different numbers: 1, 4, 16, 32.
int64_t SplitsOfGraph(int64_t length) {
  const int64_t splits = gpu::SplitKeys(length).count;
  int64_t rounded = 1;
  while (rounded < splits) rounded *= 4;
  return std::min(rounded, gpu::kMostSplits);
}

template <class T>
class CudaDecoder final : public Decoder {
 public:
  CudaDecoder(const ModelConfig& config, int64_t pages)
      : config_(config),
        shape_{config.heads, config.kv_heads, config.head_size()},
        pages_(pages),
        q_width_(config.heads * config.head_size()),
        qkv_width_((config.heads + 2 * config.kv_heads) * config.head_size()),
        page_size_(config.kv_heads * kCachePage * config.head_size()) {
    Use(0);
  }
  ~CudaDecoder() override {
    if (stream_ == nullptr) return;
    gpu::Synchronize(stream_).IgnoreError();
    graphs_.clear();
    blas_.reset();
    gpu::DestroyStream(stream_);
  }

  absl::Status Start() {
    TANDEM_ASSIGN_OR_RETURN(stream_, gpu::MakeStream());
    TANDEM_ASSIGN_OR_RETURN(blas_, gpu::Blas::Create(stream_));
    TANDEM_RETURN_IF_ERROR(cache_.Allocate(pages_ * config_.layers * 2 * page_size_));
    TANDEM_RETURN_IF_ERROR(batch_.Allocate(config_, kPassRows));
    TANDEM_RETURN_IF_ERROR(x_.Allocate(kPassRows * config_.hidden));
    TANDEM_RETURN_IF_ERROR(normed_.Allocate(kPassRows * config_.hidden));
    TANDEM_RETURN_IF_ERROR(delta_.Allocate(kPassRows * config_.hidden));
    TANDEM_RETURN_IF_ERROR(qkv_.Allocate(kPassRows * qkv_width_));
    TANDEM_RETURN_IF_ERROR(attended_.Allocate(kPassRows * q_width_));
    TANDEM_RETURN_IF_ERROR(gate_up_.Allocate(kPassRows * 2 * config_.intermediate));
    TANDEM_RETURN_IF_ERROR(gated_.Allocate(kPassRows * config_.intermediate));
    TANDEM_RETURN_IF_ERROR(chosen_.Allocate(kGraphRows * config_.hidden));
    TANDEM_RETURN_IF_ERROR(logits_.Allocate(kGraphRows * config_.vocabulary));
    TANDEM_RETURN_IF_ERROR(draws_.Allocate(kGraphRows));
    TANDEM_RETURN_IF_ERROR(drawn_.Allocate(kGraphRows));
    const int64_t splits = SplitsOfGraph(config_.context);
    TANDEM_RETURN_IF_ERROR(scratch_.Allocate(std::max<int64_t>(gpu::AttendScratch(shape_, kGraphRows, splits), 1)));

    RopeTable rope(config_);
    rope.Cover(config_.context);
    const int64_t angles = config_.context * rope.half();
    TANDEM_RETURN_IF_ERROR(cosine_.Allocate(angles));
    TANDEM_RETURN_IF_ERROR(sine_.Allocate(angles));
    const auto bytes = static_cast<size_t>(angles) * sizeof(float);
    TANDEM_RETURN_IF_ERROR(gpu::CopyToDevice(cosine_.data(), rope.cosine(0), bytes, stream_));
    return gpu::CopyToDevice(sine_.data(), rope.sine(0), bytes, stream_);
  }

  const ModelConfig& config() const override { return config_; }
  int64_t pages() const override { return pages_; }

  void Use(int32_t set) override {
    while (sets_.size() <= static_cast<size_t>(set)) sets_.push_back(std::make_unique<CudaWeights<T>>(config_));
    set_ = set;
    weights_ = sets_[static_cast<size_t>(set)].get();
  }

  absl::Status Load(std::span<const float> weights) override { return weights_->Load(weights, stream_); }

  void CopyPage(int32_t from, int32_t to) override {
    const int64_t size = config_.layers * 2 * page_size_;
    Must(gpu::QueueCopy(cache_.data() + to * size, cache_.data() + from * size, static_cast<size_t>(size) * sizeof(T),
                        stream_));
  }

  void Run(std::span<const DecodeRow> rows, std::span<SampledToken> sampled) override {
    TANDEM_CHECK(weights_->loaded());
    size_t done = 0;
    for (size_t first = 0; first < rows.size(); first += kPassRows) {
      done += RunPass(rows.subspan(first, std::min<size_t>(kPassRows, rows.size() - first)), sampled.subspan(done));
    }
    TANDEM_CHECK(done == sampled.size());
  }

 private:
  // Returns how many tokens were sampled.
  size_t RunPass(std::span<const DecodeRow> rows, std::span<SampledToken> sampled) {
    const auto plain = [](const DecodeRow& row) { return row.sample && !row.filter.any(); };
    const bool decode = rows.size() <= kGraphRows && std::all_of(rows.begin(), rows.end(), plain);
    const auto count = static_cast<int64_t>(rows.size());
    Must(batch_.Fill(rows, decode ? RowsOfGraph(count) : count, pages_, stream_));
    const size_t wanted = batch_.wanted().size();
    TANDEM_CHECK(wanted <= sampled.size());
    if (decode) {
      Must(DecodeStep());
      Must(gpu::Synchronize(stream_));
      for (size_t i = 0; i < wanted; ++i) sampled[i] = Sampled(drawn_.data()[i]);
      return wanted;
    }
    Must(Layers());
    for (size_t first = 0; first < wanted; first += kGraphRows) {
      SampleSome(rows, first, std::min<size_t>(kGraphRows, wanted - first), sampled.subspan(first));
    }
    Must(gpu::Synchronize(stream_));  // the batch's memory is written next
    return wanted;
  }

  static SampledToken Sampled(const kernels::Draw& draw) {
    return {draw.token, draw.sampled_logprob, draw.model_logprob};
  }

  // The step as a graph. The first time its size comes it is run as it is, so that cuBLAS has loaded its kernels when
  // it is recorded.
  absl::Status DecodeStep() {
    const auto step = [&] {
      TANDEM_RETURN_IF_ERROR(Layers());
      return SampleRows(normed_.data(), 0, batch_.rows());
    };
    if (!graphs_work_) return step();
    const auto [found, added] = graphs_.try_emplace({set_, batch_.rows(), SplitsOfGraph(batch_.longest())});
    if (added) return step();
    std::optional<gpu::Graph>& graph = found->second;
    if (!graph.has_value()) {
      absl::StatusOr<gpu::Graph> recorded = gpu::Graph::Capture(stream_, step);
      if (!recorded.ok()) {
        LogWarning("the engine goes on without CUDA graphs: ", recorded.status().message());
        graphs_work_ = false;
        return step();
      }
      graph.emplace(*std::move(recorded));
    }
    return graph->Launch(stream_);
  }

  // All layers and the last norm, of the batch's rows: into normed_.
  absl::Status Layers() {
    const int64_t rows = batch_.rows();
    TANDEM_RETURN_IF_ERROR(
        gpu::TakeRows(weights_->embedding(), batch_.tokens(), rows, config_.hidden, x_.data(), stream_));
    const T* delta = nullptr;  // what the layer before adds to x, and its bias
    const float* bias = nullptr;
    for (int64_t n = 0; n < config_.layers; ++n) {
      const CudaLayer<T>& layer = weights_->layer(n);
      TANDEM_RETURN_IF_ERROR(AddNorm(delta, bias, layer.attention_norm));
      TANDEM_RETURN_IF_ERROR(blas_->Linear(normed_.data(), rows, layer.qkv, config_.hidden, qkv_width_, qkv_.data()));
      TANDEM_RETURN_IF_ERROR(Attention(layer, n));
      TANDEM_RETURN_IF_ERROR(blas_->Linear(attended_.data(), rows, layer.o, q_width_, config_.hidden, delta_.data()));
      TANDEM_RETURN_IF_ERROR(AddNorm(delta_.data(), layer.o_bias, layer.mlp_norm));
      TANDEM_RETURN_IF_ERROR(blas_->Linear(normed_.data(), rows, layer.gate_up, config_.hidden,
                                           2 * config_.intermediate, gate_up_.data()));
      TANDEM_RETURN_IF_ERROR(
          gpu::SwiGlu(gate_up_.data(), layer.gate_up_bias, rows, config_.intermediate, gated_.data(), stream_));
      TANDEM_RETURN_IF_ERROR(
          blas_->Linear(gated_.data(), rows, layer.down, config_.intermediate, config_.hidden, delta_.data()));
      delta = delta_.data();
      bias = layer.down_bias;
    }
    return AddNorm(delta, bias, weights_->final_norm());
  }

  // x_ += delta + bias; normed_ is its norm.
  absl::Status AddNorm(const T* delta, const float* bias, const float* norm) {
    return gpu::AddRmsNorm(x_.data(), delta, bias, batch_.rows(), config_.hidden, norm,
                           static_cast<float>(config_.norm_epsilon), normed_.data(), stream_);
  }

  // From qkv_ into attended_. All rows' keys are stored before one attends: rows of one sequence see each other.
  absl::Status Attention(const CudaLayer<T>& layer, int64_t n) {
    T* const keys = cache_.data() + 2 * n * page_size_;
    const gpu::PagedKeyValues<T> cache = {keys, keys + page_size_, config_.layers * 2 * page_size_};
    const gpu::Projections<T> projections = {.qkv = qkv_.data(),
                                             .bias = layer.qkv_bias,
                                             .q_norm = layer.q_norm,
                                             .k_norm = layer.k_norm,
                                             .epsilon = static_cast<float>(config_.norm_epsilon),
                                             .cosine = cosine_.data(),
                                             .sine = sine_.data()};
    const gpu::PagedRows all = batch_.paged();
    TANDEM_RETURN_IF_ERROR(gpu::StoreTurned(shape_, all, projections, cache, stream_));
    const int64_t splits = SplitsOfGraph(batch_.longest());
    for (int64_t first = 0; first < all.rows; first += kGraphRows) {
      const gpu::PagedRows some = {std::min(kGraphRows, all.rows - first), all.positions + first, all.tables,
                                   all.table_begin + first};
      TANDEM_RETURN_IF_ERROR(gpu::Attend(shape_, some, qkv_.data() + first * qkv_width_, qkv_width_, cache, splits,
                                         scratch_.data(), attended_.data() + first * q_width_, stream_));
    }
    return absl::OkStatus();
  }

  // Logits of `hidden` [count, hidden], and the draws of wanted rows first .. first + count - 1 into drawn_, when the
  // stream is done.
  absl::Status SampleRows(const T* hidden, int64_t first, int64_t count) {
    TANDEM_RETURN_IF_ERROR(
        blas_->Linear(hidden, count, weights_->head(), config_.hidden, config_.vocabulary, logits_.data()));
    TANDEM_RETURN_IF_ERROR(gpu::Sample(logits_.data(), count, config_.vocabulary, batch_.temperatures() + first,
                                       batch_.uniforms() + first, draws_.data(), stream_));
    return gpu::QueueCopy(drawn_.data(), draws_.data(), static_cast<size_t>(count) * sizeof(kernels::Draw), stream_);
  }

  // Of a pass that is no decode step: wanted rows first .. first + count - 1.
  void SampleSome(std::span<const DecodeRow> rows, size_t first, size_t count, std::span<SampledToken> sampled) {
    const auto from = static_cast<int64_t>(first), some = static_cast<int64_t>(count);
    Must(gpu::TakeRows(normed_.data(), batch_.wanted_rows() + from, some, config_.hidden, chosen_.data(), stream_));
    Must(SampleRows(chosen_.data(), from, some));
    Must(gpu::Synchronize(stream_));
    for (size_t i = 0; i < count; ++i) {
      const DecodeRow& row = rows[static_cast<size_t>(batch_.wanted()[first + i])];
      kernels::Draw draw = drawn_.data()[i];
      if (row.filter.any() && row.temperature > 0) DrawFiltered(row, static_cast<int64_t>(i), &draw);
      sampled[i] = Sampled(draw);
    }
  }

  // Draws again, on the CPU, from the tokens that the row's filter leaves. `place`: of its logits; `draw`: one from
  // all.
  void DrawFiltered(const DecodeRow& row, int64_t place, kernels::Draw* draw) {
    filtered_.resize(static_cast<size_t>(config_.vocabulary + kernels::SampleScratch(config_.vocabulary)));
    float* const logits = filtered_.data();
    Must(gpu::CopyToHost(logits, logits_.data() + place * config_.vocabulary,
                         static_cast<size_t>(config_.vocabulary) * sizeof(float), stream_));
    const float log_sum = logits[draw->token] - draw->model_logprob;
    const float uniform = UniformFloat(Philox(row.random_key, static_cast<uint64_t>(row.position) + 1)[0]);
    kernels::FilterLogits(row.filter, row.temperature, config_.vocabulary, logits, &kept_);
    kernels::Sample(logits, 1, config_.vocabulary, &row.temperature, &uniform, logits + config_.vocabulary, draw);
    draw->model_logprob = logits[draw->token] - log_sum;
  }

  const ModelConfig config_;
  const kernels::AttentionShape shape_;
  const int64_t pages_, q_width_, qkv_width_;
  const int64_t page_size_;  // numbers of a page's keys, or values, of a layer
  gpu::Stream stream_ = nullptr;
  std::unique_ptr<gpu::Blas> blas_;
  std::vector<std::unique_ptr<CudaWeights<T>>> sets_;
  int32_t set_ = 0;
  CudaWeights<T>* weights_ = nullptr;  // the set in use
  CudaArray<T> cache_;                 // [pages, layers, keys or values, kv_heads, 16, head_size]
  CudaArray<float> cosine_, sine_;     // [context, head_size / 2]
  CudaBatch batch_;
  // Graphs by set of weights, rows and splits; empty after the first time that they were met.
  std::map<std::tuple<int32_t, int64_t, int64_t>, std::optional<gpu::Graph>> graphs_;
  bool graphs_work_ = true;
  // Activations of a pass.
  CudaArray<float> x_;                // [kPassRows, hidden], the residual stream
  CudaArray<T> normed_, delta_;       // [kPassRows, hidden]
  CudaArray<T> qkv_, attended_;       // [kPassRows, qkv_width], [kPassRows, q_width]
  CudaArray<T> gate_up_, gated_;      // [kPassRows, 2 intermediate], [kPassRows, intermediate]
  CudaArray<T> chosen_;               // [kGraphRows, hidden], rows that sample
  CudaArray<float> logits_;           // [kGraphRows, vocabulary]
  CudaArray<float> scratch_;          // of gpu::Attend
  CudaArray<kernels::Draw> draws_;    // [kGraphRows]
  PinnedArray<kernels::Draw> drawn_;  // their copy
  std::vector<float> filtered_;       // logits and scratch of DrawFiltered
  std::vector<int32_t> kept_;
};

template <class T>
absl::StatusOr<std::unique_ptr<Decoder>> StartedCudaDecoder(const ModelConfig& config, int64_t pages) {
  auto decoder = std::make_unique<CudaDecoder<T>>(config, pages);
  TANDEM_RETURN_IF_ERROR(decoder->Start());
  return decoder;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Decoder>> MakeCudaDecoder(const ModelConfig& config, int64_t pages, bool bf16) {
  TANDEM_RETURN_IF_ERROR(CheckModelConfig(config));
  if (gpu::Devices() == 0) {
    return absl::UnavailableError("the CUDA decoder needs a GPU, and a build with CUDA's compiler (nvcc)");
  }
  if (config.head_size() > kHeadSizeMost) {
    return absl::UnavailableError(
        absl::StrCat("the CUDA decoder has no kernel for heads of ", config.head_size(), " numbers"));
  }
  return bf16 ? StartedCudaDecoder<kernels::BFloat16>(config, pages) : StartedCudaDecoder<float>(config, pages);
}

}  // namespace tandem
