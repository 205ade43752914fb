// Root-mean-square normalisation (Zhang and Sennrich, 2019): y = x / sqrt(mean(x^2) + epsilon) * weight.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/bfloat16.h"
#include "kernels/cuda/stream.h"

namespace tandem::kernels {

// x, y: [rows, size], weight: [size]. y may be x. A row's result depends on that row alone.
void RmsNorm(const float* x, int64_t rows, int64_t size, const float* weight, float epsilon, float* y);

namespace cuda {
// The same on device memory, queued on `stream`. kUnavailable in a build without CUDA, kInternal with CUDA's words when
// the launch fails.
absl::Status RmsNorm(const float* x, int64_t rows, int64_t size, const float* weight, float epsilon, float* y,
                     Stream stream);
// x and y stored as bf16.
absl::Status RmsNorm(const BFloat16* x, int64_t rows, int64_t size, const float* weight, float epsilon, BFloat16* y,
                     Stream stream);

// x[rows, size] += delta + bias, and y its norm: the residual stream stays in float32, whatever the layers store. Null
// `delta` is nothing to add; `bias`: [size] or null, not without delta. y must not overlap x.
absl::Status AddRmsNorm(float* x, const float* delta, const float* bias, int64_t rows, int64_t size,
                        const float* weight, float epsilon, float* y, Stream stream);
absl::Status AddRmsNorm(float* x, const BFloat16* delta, const float* bias, int64_t rows, int64_t size,
                        const float* weight, float epsilon, BFloat16* y, Stream stream);
}  // namespace cuda

}  // namespace tandem::kernels
