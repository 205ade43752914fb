// The gated half of a SwiGLU feed-forward layer in one pass: y = silu(x G^T) * (x U^T), silu(a) = a / (1 + exp(-a)).
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/bfloat16.h"
#include "kernels/cuda/stream.h"
#include "kernels/linear.h"

namespace tandem::kernels {

// Floats that packed gate and up weights take: panels of 16 gate and the 16 up outputs that belong to them.
inline int64_t PackedGateUpSize(int64_t intermediate, int64_t in) {
  return (intermediate + 15) / 16 * kPanelColumns * in;
}

// gate, up: [intermediate, in]; packed: [PackedGateUpSize(intermediate, in)].
void PackGateUp(const float* gate, const float* up, int64_t intermediate, int64_t in, float* packed);

// gate, up: [intermediate]; packed: [PackedGateUpSize(intermediate, 1)].
inline void PackGateUpBias(const float* gate, const float* up, int64_t intermediate, float* packed) {
  PackGateUp(gate, up, intermediate, 1, packed);
}

// y[rows, intermediate] from x[rows, in]. `bias`: packed, or null. Batch-invariant like Linear. y must not overlap x.
void LinearSwiGlu(const float* x, int64_t rows, const float* packed, const float* bias, int64_t in,
                  int64_t intermediate, float* y);

namespace cuda {
// The gate alone, after a linear layer over both weights: y[rows, intermediate] = silu(g) * u, with g the first and u
// the second half of the columns of gate_up [rows, 2 intermediate]. `bias`: [2 intermediate], added before, or null.
// On device memory, queued on `stream`; errors as RmsNorm.
absl::Status SwiGlu(const float* gate_up, const float* bias, int64_t rows, int64_t intermediate, float* y,
                    Stream stream);
absl::Status SwiGlu(const BFloat16* gate_up, const float* bias, int64_t rows, int64_t intermediate, BFloat16* y,
                    Stream stream);
}  // namespace cuda

}  // namespace tandem::kernels
