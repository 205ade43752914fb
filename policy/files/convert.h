// float32 from and to the types of number on disk, by SIMD chosen at run time. Every instruction set gives the same
// bits.
#pragma once

#include <cstdint>

#include "policy/files/dtype.h"

namespace tandem {

// out[i] = in[i] for `count` numbers of type `dtype`, at any address. Exact, subnormal numbers included; infinities and
// NaNs (with their payload) stay what they are. One thread.
void ToFloat32(Dtype dtype, const void* in, int64_t count, float* out);

// The nearest number of type `dtype`, of two equally near ones the even one; beyond the largest it is infinity. NaN
// stays NaN (quiet, with the high bits of its payload). `out` may have any address. One thread.
void FromFloat32(const float* in, int64_t count, Dtype dtype, void* out);

}  // namespace tandem
