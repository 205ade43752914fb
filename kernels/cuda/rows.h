// Moves rows of numbers about on the device. All calls queue on `stream`; errors as kernels/rms_norm.h.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/bfloat16.h"
#include "kernels/cuda/stream.h"

namespace tandem::kernels::cuda {

// out[r] = table[index[r]], rows of `size` numbers.
absl::Status TakeRows(const float* table, const int32_t* index, int64_t rows, int64_t size, float* out, Stream stream);
absl::Status TakeRows(const BFloat16* table, const int32_t* index, int64_t rows, int64_t size, BFloat16* out,
                      Stream stream);

// Rounds x[size] to bf16.
absl::Status Convert(const float* x, int64_t size, BFloat16* y, Stream stream);

}  // namespace tandem::kernels::cuda
