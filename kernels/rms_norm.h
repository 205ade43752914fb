// Root-mean-square normalisation (Zhang and Sennrich, 2019): y = x / sqrt(mean(x^2) + epsilon) * weight.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/cuda/stream.h"

namespace tandem::kernels {

// x, y: [rows, size], weight: [size]. y may be x. A row's result depends on that row alone.
void RmsNorm(const float* x, int64_t rows, int64_t size, const float* weight, float epsilon, float* y);

namespace cuda {
// The same on device memory, queued on `stream`. kUnavailable in a build without CUDA, kInternal with CUDA's words when
// the launch fails.
absl::Status RmsNorm(const float* x, int64_t rows, int64_t size, const float* weight, float epsilon, float* y,
                     Stream stream);
}  // namespace cuda

}  // namespace tandem::kernels
