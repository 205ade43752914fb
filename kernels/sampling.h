// Draws the next token from a row of logits, with its log-probability.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/cuda/stream.h"

namespace tandem::kernels {

struct Draw {
  int32_t token;
  float sampled_logprob;  // of the distribution sampled from, softmax(logits / temperature); greedy: 0
  float model_logprob;    // of softmax(logits)
};

// Floats of scratch that Sample needs.
inline int64_t SampleScratch(int64_t vocabulary) { return (vocabulary + 63) / 64 * 64; }

// One draw per row of logits [rows, vocabulary]. temperatures: [rows], not negative; at 0 the first of the largest
// logits is taken. uniforms: [rows] in [0, 1); the token is the first whose cumulative probability lies above it. A
// token of probability 0 (such as logit -infinity) is never drawn. A row's result depends on that row alone. A row
// without a finite largest logit has no distribution: token 0, log-probabilities not a number.
void Sample(const float* logits, int64_t rows, int64_t vocabulary, const float* temperatures, const float* uniforms,
            float* scratch, Draw* draws);

namespace cuda {
// The same on device memory, queued on `stream`; needs no scratch. Sums in another order, so that a draw whose uniform
// lies at the very edge of a token may fall to its neighbour. kUnavailable in a build without CUDA, kInternal with
// CUDA's words when the launch fails.
absl::Status Sample(const float* logits, int64_t rows, int64_t vocabulary, const float* temperatures,
                    const float* uniforms, Draw* draws, Stream stream);
}  // namespace cuda

}  // namespace tandem::kernels
