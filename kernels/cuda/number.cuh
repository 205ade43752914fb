// Numbers as the CUDA kernels store them, float and BFloat16; all arithmetic is in float.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "kernels/bfloat16.h"

namespace tandem::kernels::cuda {

__device__ inline float Load(float x) { return x; }
__device__ inline float Load(BFloat16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }

// To the nearest, ties to even, as kernels/bfloat16.h.
template <class T>
__device__ inline T Round(float x) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    const uint32_t bits = __float_as_uint(x);
    if (x != x) return BFloat16{static_cast<uint16_t>(bits >> 16 | 0x40)};
    return BFloat16{static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
  }
}

// Eight numbers in a row. `x` is aligned to 16 bytes.
__device__ inline void LoadEight(const float* x, float (&values)[8]) {
  const float4 a = reinterpret_cast<const float4*>(x)[0], b = reinterpret_cast<const float4*>(x)[1];
  values[0] = a.x, values[1] = a.y, values[2] = a.z, values[3] = a.w;
  values[4] = b.x, values[5] = b.y, values[6] = b.z, values[7] = b.w;
}
__device__ inline void LoadEight(const BFloat16* x, float (&values)[8]) {
  const uint4 a = *reinterpret_cast<const uint4*>(x);
  const uint32_t pairs[4] = {a.x, a.y, a.z, a.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = __uint_as_float(pairs[i] << 16);
    values[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u);
  }
}

}  // namespace tandem::kernels::cuda
