// Sums and maxima over the threads of a block, in a fixed order.
#pragma once

#include <cuda_runtime.h>

namespace tandem::kernels::cuda {

inline constexpr int kThreads = 256;  // of every block here
inline constexpr int kWarps = kThreads / 32;

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Max {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// combine over all threads' values; every thread gets the result. Every thread of the block must call it.
template <class Combine>
__device__ float BlockReduce(float value, Combine combine) {
  __shared__ float partial[kWarps];
  for (int offset = 16; offset > 0; offset /= 2) value = combine(value, __shfl_xor_sync(~0u, value, offset));
  __syncthreads();  // `partial` may still be read by the call before
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  float result = partial[0];
  for (int warp = 1; warp < kWarps; ++warp) result = combine(result, partial[warp]);
  return result;
}

// The sum of the values of all threads before this one. Every thread of the block must call it.
__device__ inline float BlockSumBefore(float value) {
  __shared__ float totals[kWarps];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  float inclusive = value;
  for (int offset = 1; offset < 32; offset *= 2) {
    const float other = __shfl_up_sync(~0u, inclusive, offset);
    if (lane >= offset) inclusive += other;
  }
  __syncthreads();
  if (lane == 31) totals[warp] = inclusive;
  __syncthreads();
  float before = 0;
  for (int w = 0; w < warp; ++w) before += totals[w];
  const float exclusive = __shfl_up_sync(~0u, inclusive, 1);
  return lane == 0 ? before : before + exclusive;
}

}  // namespace tandem::kernels::cuda
