// The arithmetic behind an engine: a model with a key-value cache, on some device.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/attention.h"
#include "kernels/packed_linear.h"
#include "kernels/sampling_filter.h"
#include "policy/model_config.h"

namespace tandem {

// Positions of a page of the cache.
inline constexpr int32_t kCachePage = static_cast<int32_t>(kernels::kPagePositions);

// Pages that sequences of up to `positions` positions take, so many at a time.
inline int64_t CachePages(int64_t positions, int64_t sequences) {
  return (positions + kCachePage - 1) / kCachePage * sequences;
}

// Memory of a page: 16 positions of all layers, keys and values.
inline int64_t CachePageBytes(const ModelConfig& config, int64_t bytes_of_number) {
  return kCachePage * config.layers * 2 * config.kv_heads * config.head_size() * bytes_of_number;
}

// Pages that `megabytes` hold, though always enough for one sequence of the whole context.
inline int64_t CachePagesWithin(const ModelConfig& config, int64_t megabytes, int64_t bytes_of_number) {
  return std::max(CachePages(config.context, 1), megabytes * 1'000'000 / CachePageBytes(config, bytes_of_number));
}

// One token to be read in: its key and value go to the cache, and it attends to positions 0..position of its sequence.
struct DecodeRow {
  int32_t token;
  int32_t position;
  const int32_t* pages;  // of the sequence: position p is in pages[p / kCachePage]. One sequence, one pointer
  bool sample;           // whether the next token is wanted
  float temperature;     // 0 is greedy
  uint64_t random_key;   // the draw is Philox(random_key, position + 1)
  kernels::SamplingFilter filter = {};
};

struct SampledToken {
  int32_t token;
  float sampled_logprob;  // of the distribution sampled from; greedy: 0
  float model_logprob;    // at temperature 1
};

// Not thread-safe. A row's result depends on its own row and its sequence's cache only, bit for bit on the CPU.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual const ModelConfig& config() const = 0;
  virtual int64_t pages() const = 0;  // of the cache, numbered from 0

  // Which of several sets of weights Load and Run are about; at first set 0. A set is made, and takes its memory,
  // when it is first used.
  virtual void Use(int32_t set) = 0;

  // Packs flat weights (ParameterLayout's order). Exclusive with Run.
  virtual absl::Status Load(std::span<const float> weights) = 0;

  // Part `part` of `parts` of a Load into `set`; parts come in ascending order, and after the last one the set is
  // loaded. Runs of other sets may come in between. The set in use is another afterwards. By default all is loaded in
  // the last part.
  virtual absl::Status LoadPart(int32_t set, std::span<const float> weights, int64_t part, int64_t parts) {
    Use(set);
    return part + 1 == parts ? Load(weights) : absl::OkStatus();
  }

  // Reads in `rows`; several rows of one sequence come in ascending, gapless positions. `sampled` has one entry for
  // each row with `sample`, in their order.
  virtual void Run(std::span<const DecodeRow> rows, std::span<SampledToken> sampled) = 0;

  // Page `to` becomes a copy of page `from`.
  virtual void CopyPage(int32_t from, int32_t to) = 0;
};

// Kernels of our own (kernels/cpu), one thread. `weights` is the type of the linear layers' products; the residual
// stream, the cache and the attention are float32. Memory grows with the highest page that is in use, up to `pages`.
std::unique_ptr<Decoder> MakeCpuDecoder(const ModelConfig& config, int64_t pages,
                                        kernels::WeightType weights = kernels::WeightType::kFloat32);

// Kernels of our own (kernels/cuda) and cuBLAS on the current GPU, bf16 or float32; decode steps are CUDA graphs. The
// memory of all `pages` is taken at once, kResourceExhausted when it is not there. kUnavailable: a build without CUDA,
// no GPU, no cuBLAS (LoadCuda of policy/device.h brings LibTorch's), or heads that the kernels have no size for. A GPU
// that fails later ends the process. A row's bits depend on the number of rows, by cuBLAS's choice of kernels.
absl::StatusOr<std::unique_ptr<Decoder>> MakeCudaDecoder(const ModelConfig& config, int64_t pages, bool bf16);

// ATen on `device` ("cpu" or "cuda"), bf16 or float32: the reference in tests, and for GPUs where MakeCudaDecoder
// cannot be had. The memory of all `pages` is taken at once. On a device that is not there: kUnavailable.
absl::StatusOr<std::unique_ptr<Decoder>> MakeAtenDecoder(const ModelConfig& config, int64_t pages,
                                                         const std::string& device, bool bf16);

// The fastest of these on `device` ("cpu" or "cuda"). kInvalidArgument: kInt8 on another device than the CPU.
absl::StatusOr<std::unique_ptr<Decoder>> MakeDecoder(const ModelConfig& config, int64_t pages,
                                                     const std::string& device, kernels::WeightType weights);

}  // namespace tandem
