// How fast the engine's arithmetic is on a GPU, at the shape of Qwen2.5-0.5B in bf16, against what this GPU reaches:
// its memory's rate of a copy, and its rate of a large matrix product. Build the target `generation_cuda` and run it
// without arguments; without a GPU it says so.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/rows.h"
#include "kernels/linear_logprob.h"
#include "policy/device.h"
#include "rollout/engine/cuda_memory.h"
#include "rollout/engine/decoder.h"
#include "tests/bench/random_weights.h"

namespace tandem {
namespace {

namespace gpu = kernels::cuda;
using kernels::BFloat16;

constexpr int kRounds = 5;

void Must(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}
template <class T>
T Must(absl::StatusOr<T> value) {
  Must(value.status());
  return *std::move(value);
}

ModelConfig Qwen05B() {
  return {.vocabulary = 151936,
          .hidden = 896,
          .layers = 24,
          .heads = 14,
          .kv_heads = 2,
          .intermediate = 4864,
          .context = 4096,
          .rope_theta = 1e6,
          .norm_epsilon = 1e-6,
          .qkv_bias = true};
}

// The median of so many calls, after two that do not count. `work` returns when the device is done.
double Seconds(const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int round = -2; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (round >= 0) seconds.push_back(took.count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

// Fills `to` with random numbers: products of zeros draw less power, and would flatter the rate.
void Randomize(int64_t size, BFloat16* to, gpu::Stream stream) {
  std::vector<float> numbers(size_t{1} << 24);
  RandomStream random(1);
  for (float& number : numbers) number = static_cast<float>(random.Uniform() - 0.5);
  CudaArray<float> floats;
  Must(floats.Allocate(static_cast<int64_t>(numbers.size())));
  Must(gpu::CopyToDevice(floats.data(), numbers.data(), numbers.size() * sizeof(float), stream));
  for (int64_t done = 0; done < size; done += static_cast<int64_t>(numbers.size())) {
    const int64_t count = std::min(size - done, static_cast<int64_t>(numbers.size()));
    Must(gpu::Convert(floats.data(), count, to + done, stream));
  }
  Must(gpu::Synchronize(stream));
}

// What this GPU reaches.
struct Limits {
  double bytes_per_s;  // read and written by a copy
  double flops;        // bf16
};

Limits Measure(gpu::Stream stream) {
  constexpr int64_t kBytes = int64_t{1} << 30, kSize = 8192;
  constexpr int kTimes = 10;
  CudaArray<char> from, to;
  Must(from.Allocate(kBytes));
  Must(to.Allocate(kBytes));
  Must(gpu::QueueZeros(from.data(), kBytes, stream));
  const double copy = Seconds([&] {
    for (int i = 0; i < kTimes; ++i) Must(gpu::QueueCopy(to.data(), from.data(), kBytes, stream));
    Must(gpu::Synchronize(stream));
  });
  const auto blas = Must(gpu::Blas::Create(stream));
  CudaArray<BFloat16> a, y;
  Must(a.Allocate(kSize * kSize));
  Must(y.Allocate(kSize * kSize));
  Randomize(kSize * kSize, a.data(), stream);
  const double product = Seconds([&] {
    for (int i = 0; i < kTimes; ++i) Must(blas->Linear(a.data(), kSize, a.data(), kSize, kSize, y.data()));
    Must(gpu::Synchronize(stream));
  });
  return {2.0 * kBytes * kTimes / copy, 2.0 * kSize * kSize * kSize * kTimes / product};
}

// Products of the layers for a row, without the head and attention.
double LayerFlops(const ModelConfig& c) {
  const double q = double(c.heads * c.head_size()), kv = double(c.kv_heads * c.head_size()), hidden = double(c.hidden);
  return double(c.layers) * 2 * hidden * (2 * q + 2 * kv + 3 * double(c.intermediate));
}
double HeadFlops(const ModelConfig& c) { return 2.0 * double(c.hidden) * double(c.vocabulary); }

// Sequences whose pages are their own, all of `length` positions.
struct Sequences {
  Sequences(int64_t count, int64_t length) {
    const int64_t each = CachePages(length, 1);
    for (int64_t s = 0; s < count; ++s) {
      pages.emplace_back();
      for (int64_t i = 0; i < each; ++i) pages.back().push_back(static_cast<int32_t>(s * each + i));
    }
  }
  std::vector<std::vector<int32_t>> pages;
};

void Prefill(Decoder& decoder, const Sequences& sequences, int64_t length) {
  std::vector<DecodeRow> rows;
  for (const auto& pages : sequences.pages) {
    for (int32_t p = 0; p < length; ++p) rows.push_back({p % 1000, p, pages.data(), false, 1, 0});
  }
  decoder.Run(rows, {});
}

// A step reads all the weights, and each row its keys and values.
void Decode(Decoder& decoder, int64_t batch, int64_t length, const Limits& limits) {
  const ModelConfig& c = decoder.config();
  const Sequences sequences(batch, length + 16);
  Prefill(decoder, sequences, length);
  std::vector<SampledToken> sampled(static_cast<size_t>(batch));
  const double seconds = Seconds([&] {
    std::vector<DecodeRow> rows;
    for (size_t s = 0; s < sequences.pages.size(); ++s) {
      rows.push_back({7, static_cast<int32_t>(length), sequences.pages[s].data(), true, 1, s});
    }
    decoder.Run(rows, sampled);
  });
  const double weights = LayerFlops(c) + HeadFlops(c);  // bytes: a weight has two, and takes two operations
  const double cache = double(batch * length * c.layers * 2 * c.kv_heads * c.head_size()) * 2;
  const double flops =
      double(batch) * (LayerFlops(c) + HeadFlops(c) + 4.0 * double(c.layers * c.heads * c.head_size() * length));
  std::printf(
      "decode   %4ld rows of %4ld positions: %7.3f ms a step, %8.0f tokens/s; %5.1f %% of the memory's rate, "
      "%5.1f %% of the products'\n",
      long(batch), long(length), seconds * 1e3, double(batch) / seconds,
      100 * (weights + cache) / seconds / limits.bytes_per_s, 100 * flops / seconds / limits.flops);
}

void MeasurePrefill(Decoder& decoder, int64_t length, const Limits& limits) {
  const Sequences sequences(1, length);
  const double seconds = Seconds([&] { Prefill(decoder, sequences, length); });
  const ModelConfig& c = decoder.config();
  const double flops = double(length) * (LayerFlops(c) + 2.0 * double(c.layers * c.heads * c.head_size() * length));
  std::printf("prefill  %4ld positions: %7.3f ms, %8.0f tokens/s; %5.1f %% of the products' rate\n", long(length),
              seconds * 1e3, double(length) / seconds, 100 * flops / seconds / limits.flops);
}

// The head alone, log-probabilities of given tokens.
void MeasureLogProbs(const ModelConfig& c, int64_t rows, gpu::Stream stream, const Limits& limits) {
  CudaArray<BFloat16> x, head;
  CudaArray<int32_t> targets;
  CudaArray<float> scratch, logprobs;
  Must(x.Allocate(rows * c.hidden));
  Must(head.Allocate(c.vocabulary * c.hidden));
  Must(targets.Allocate(rows));
  Must(scratch.Allocate(gpu::LinearLogProbScratch(rows, c.vocabulary)));
  Must(logprobs.Allocate(rows));
  Randomize(rows * c.hidden, x.data(), stream);
  Randomize(c.vocabulary * c.hidden, head.data(), stream);
  Must(gpu::QueueZeros(targets.data(), static_cast<size_t>(rows) * sizeof(int32_t), stream));
  const double seconds = Seconds([&] {
    Must(gpu::LinearLogProb(x.data(), rows, c.hidden, head.data(), c.vocabulary, targets.data(), scratch.data(),
                            logprobs.data(), stream));
    Must(gpu::Synchronize(stream));
  });
  std::printf("logprobs %4ld rows: %7.3f ms, %8.0f tokens/s; %5.1f %% of the products' rate\n", long(rows),
              seconds * 1e3, double(rows) / seconds, 100 * double(rows) * HeadFlops(c) / seconds / limits.flops);
}

int Run() {
  LoadCuda().IgnoreError();  // brings cuBLAS
  const ModelConfig config = Qwen05B();
  auto made = MakeCudaDecoder(config, CachePages(528, 256), /*bf16=*/true);
  if (absl::IsUnavailable(made.status())) {
    std::printf("no GPU: %s\n", std::string(made.status().message()).c_str());
    return 0;
  }
  const std::unique_ptr<Decoder> decoder = Must(std::move(made));
  const gpu::Stream stream = Must(gpu::MakeStream());
  const Limits limits = Measure(stream);
  std::printf("this GPU: %.0f GB/s copied, %.0f TFLOP/s in a bf16 product of 8192\n", limits.bytes_per_s / 1e9,
              limits.flops / 1e12);
  Must(decoder->Load(RandomWeights(config, 1)));
  for (const int64_t batch : {1, 32, 256}) Decode(*decoder, batch, 512, limits);
  for (const int64_t length : {128, 1024, 4096}) MeasurePrefill(*decoder, length, limits);
  for (const int64_t rows : {256, 4096}) MeasureLogProbs(config, rows, stream, limits);
  gpu::DestroyStream(stream);
  return 0;
}

}  // namespace
}  // namespace tandem

int main() { return tandem::Run(); }
