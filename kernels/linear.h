// Linear layers, y = x W^T, over float32 weights that are packed once and read many times.
//
// Batch invariance: an output element is one chain of (fused) multiply-adds over the inputs in ascending order,
// whatever the number of rows or their place in the batch. The same row gives the same bits in any batch.
#pragma once

#include <cstdint>

namespace tandem::kernels {

// Packed weights: panels of 32 outputs, [ceil(out / 32)][in][32], the last one filled up with zeros: the microkernel
// reads them front to back.
inline constexpr int64_t kPanelColumns = 32;

// Floats that the packed weights of a layer take.
inline int64_t PackedSize(int64_t out, int64_t in) {
  return (out + kPanelColumns - 1) / kPanelColumns * kPanelColumns * in;
}

// weight: [out, in]; packed: [PackedSize(out, in)], fastest when aligned to 64 bytes.
void PackLinear(const float* weight, int64_t out, int64_t in, float* packed);

// y[rows, out] = x[rows, in] W^T. y must not overlap x.
void Linear(const float* x, int64_t rows, const float* packed, int64_t in, int64_t out, float* y);

// y[rows, out] += x[rows, in] W^T: the sum is added to y once, at its end.
void LinearAdd(const float* x, int64_t rows, const float* packed, int64_t in, int64_t out, float* y);

}  // namespace tandem::kernels
