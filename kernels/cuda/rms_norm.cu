#include "kernels/cuda/block.cuh"
#include "kernels/cuda/error.h"
#include "kernels/rms_norm.h"

namespace tandem::kernels::cuda {
namespace {

// One block a row.
__global__ void RmsNormRow(const float* x, int64_t size, const float* weight, float epsilon, float* y) {
  x += blockIdx.x * size;
  y += blockIdx.x * size;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < size; i += kThreads) squares += x[i] * x[i];
  const float scale = rsqrtf(BlockReduce(squares, Sum()) / static_cast<float>(size) + epsilon);
  for (int64_t i = threadIdx.x; i < size; i += kThreads) y[i] = x[i] * scale * weight[i];
}

}  // namespace

absl::Status RmsNorm(const float* x, int64_t rows, int64_t size, const float* weight, float epsilon, float* y,
                     Stream stream) {
  if (rows == 0) return absl::OkStatus();
  RmsNormRow<<<static_cast<unsigned>(rows), kThreads, 0, stream>>>(x, size, weight, epsilon, y);
  return ToStatus(cudaGetLastError(), "RmsNorm");
}

}  // namespace tandem::kernels::cuda
