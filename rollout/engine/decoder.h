// The arithmetic behind an engine: a model with a key-value cache, on some device.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/sampling_filter.h"
#include "policy/model_config.h"

namespace tandem {

// One token to be read in: its key and value go to (slot, position) of the cache, and it attends to positions
// 0..position of that slot.
struct DecodeRow {
  int32_t token;
  int32_t slot;
  int32_t position;
  bool sample;          // whether the next token is wanted
  float temperature;    // 0 is greedy
  uint64_t random_key;  // the draw is Philox(random_key, position + 1)
  kernels::SamplingFilter filter = {};
};

struct SampledToken {
  int32_t token;
  float sampled_logprob;  // of the distribution sampled from; greedy: 0
  float model_logprob;    // at temperature 1
};

// Not thread-safe. A row's result depends on its own row and its slot's cache only, bit for bit on the CPU.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual const ModelConfig& config() const = 0;
  virtual int64_t slots() const = 0;

  // Which of several sets of weights Load and Run are about; at first set 0. A set is made, and takes its memory,
  // when it is first used.
  virtual void Use(int32_t set) = 0;

  // Packs flat weights (ParameterLayout's order). Exclusive with Run.
  virtual absl::Status Load(std::span<const float> weights) = 0;

  // Reads in `rows`; several rows of one slot come in ascending, gapless positions. `sampled` has one entry for each
  // row with `sample`, in their order.
  virtual void Run(std::span<const DecodeRow> rows, std::span<SampledToken> sampled) = 0;

  // Makes positions 0 .. positions-1 of slot `to` a copy of slot `from`'s, which hold them; the next row of `to` is
  // `positions`. False, and nothing is changed, where the decoder does not copy: then prompts are read in again.
  virtual bool CopyCache(int32_t from, int32_t to, int32_t positions) {
    static_cast<void>(from), static_cast<void>(to), static_cast<void>(positions);
    return false;
  }
};

// Kernels of our own (kernels/cpu), float32, one thread. Memory grows with the positions that are in use.
std::unique_ptr<Decoder> MakeCpuDecoder(const ModelConfig& config, int64_t slots);

// ATen on `device` ("cpu" or "cuda"), bf16 or float32: the engine of GPUs, and the reference in tests. On a device that
// is not there: kUnavailable.
absl::StatusOr<std::unique_ptr<Decoder>> MakeAtenDecoder(const ModelConfig& config, int64_t slots,
                                                         const std::string& device, bool bf16);

}  // namespace tandem
