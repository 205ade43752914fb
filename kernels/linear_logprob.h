// Log-probabilities of given tokens under a language model's head, without ever holding the logits of a row: a tile of
// the vocabulary at a time, with a running maximum and sum (Milakov and Gimelshein, 2018, algorithm 3).
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/bfloat16.h"
#include "kernels/cuda/stream.h"

namespace tandem::kernels::cuda {

// Tokens of the vocabulary that one block goes through.
inline constexpr int64_t kLogProbStretch = 4096;

// Floats of scratch that LinearLogProb needs.
inline int64_t LinearLogProbScratch(int64_t rows, int64_t vocabulary) {
  return rows * (2 * ((vocabulary + kLogProbStretch - 1) / kLogProbStretch) + 1);
}

// logprobs[r] = log softmax(x[r] W^T)[targets[r]]. x: [rows, size]; weight: [vocabulary, size]; targets: [rows], each
// within the vocabulary; all on the device. Products of bf16 run on tensor cores; sums are in float. A row's bits
// depend on that row alone. Queued on `stream`; errors as RmsNorm. (On the CPU: HeadLogProbs of policy/operations.h.)
absl::Status LinearLogProb(const float* x, int64_t rows, int64_t size, const float* weight, int64_t vocabulary,
                           const int32_t* targets, float* scratch, float* logprobs, Stream stream);
absl::Status LinearLogProb(const BFloat16* x, int64_t rows, int64_t size, const BFloat16* weight, int64_t vocabulary,
                           const int32_t* targets, float* scratch, float* logprobs, Stream stream);

}  // namespace tandem::kernels::cuda
