// A sum of exponentials that goes on while its maximum changes.
#pragma once

#include <cuda_runtime.h>

#include <cmath>

namespace tandem::kernels::cuda {

// sum of exp(x - largest) over the numbers seen.
struct RunningSoftmax {
  float largest = -INFINITY;
  float sum = 0;

  __device__ void Add(float x) { Merge({x, 1}); }

  // Numbers of -infinity count for nothing, also before others were seen.
  __device__ void Merge(const RunningSoftmax& other) {
    if (other.largest == -INFINITY) return;
    const float top = fmaxf(largest, other.largest);
    sum = sum * expf(largest - top) + other.sum * expf(other.largest - top);
    largest = top;
  }
};

}  // namespace tandem::kernels::cuda
