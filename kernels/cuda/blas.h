// Linear layers on the device, by cuBLAS. The library is looked for when it is wanted: a binary without it runs.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/bfloat16.h"
#include "kernels/cuda/stream.h"

namespace tandem::kernels::cuda {

// Not thread-safe. Its calls may be captured in a graph: its workspace is its own. A row's bits depend on how many rows
// there are, and on nothing else; sums are in float (float32 inputs are not rounded to TF32).
class Blas {
 public:
  // For calls on `stream`, which outlives it. kUnavailable: a build without CUDA, no device, or no libcublas.so of this
  // build's major version in the process or where the loader looks (LibTorch's CUDA part brings it).
  static absl::StatusOr<std::unique_ptr<Blas>> Create(Stream stream);
  virtual ~Blas() = default;

  // y[rows, out] = x[rows, in] W^T, weight: [out, in].
  virtual absl::Status Linear(const float* x, int64_t rows, const float* weight, int64_t in, int64_t out, float* y) = 0;
  virtual absl::Status Linear(const BFloat16* x, int64_t rows, const BFloat16* weight, int64_t in, int64_t out,
                              BFloat16* y) = 0;
  virtual absl::Status Linear(const BFloat16* x, int64_t rows, const BFloat16* weight, int64_t in, int64_t out,
                              float* y) = 0;
};

}  // namespace tandem::kernels::cuda
