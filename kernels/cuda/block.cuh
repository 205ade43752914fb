// Sums and maxima over the threads of a block, in a fixed order.
#pragma once

#include <cuda_runtime.h>

namespace tandem::kernels::cuda {

inline constexpr int kThreads = 256;  // of a block, where nothing else is said

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Max {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// combine over the values of all lanes of a warp; every lane gets the result.
template <class Combine>
__device__ float WarpReduce(float value, Combine combine) {
  for (int offset = 16; offset > 0; offset /= 2) value = combine(value, __shfl_xor_sync(~0u, value, offset));
  return value;
}

// combine over all threads' values; every thread gets the result. Every thread of the block must call it.
template <int threads = kThreads, class Combine>
__device__ float BlockReduce(float value, Combine combine) {
  __shared__ float partial[threads / 32];
  value = WarpReduce(value, combine);
  __syncthreads();  // `partial` may still be read by the call before
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  float result = partial[0];
  for (int warp = 1; warp < threads / 32; ++warp) result = combine(result, partial[warp]);
  return result;
}

}  // namespace tandem::kernels::cuda
