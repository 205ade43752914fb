#include "kernels/cuda/block.cuh"
#include "kernels/cuda/error.h"
#include "kernels/cuda/number.cuh"
#include "kernels/rms_norm.h"

namespace tandem::kernels::cuda {
namespace {

// One block a row, in all kernels here.
template <class T>
__global__ void RmsNormRow(const T* x, int64_t size, const float* weight, float epsilon, T* y) {
  x += blockIdx.x * size;
  y += blockIdx.x * size;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < size; i += kThreads) {
    const float value = Load(x[i]);
    squares += value * value;
  }
  const float scale = rsqrtf(BlockReduce(squares, Sum()) / static_cast<float>(size) + epsilon);
  for (int64_t i = threadIdx.x; i < size; i += kThreads) y[i] = Round<T>(Load(x[i]) * scale * weight[i]);
}

// A thread reads in the second loop what it wrote itself in the first.
template <class T>
__global__ void AddRmsNormRow(float* x, const T* delta, const float* bias, int64_t size, const float* weight,
                              float epsilon, T* y) {
  x += blockIdx.x * size;
  y += blockIdx.x * size;
  if (delta != nullptr) delta += blockIdx.x * size;
  float squares = 0;
  for (int64_t i = threadIdx.x; i < size; i += kThreads) {
    float value = x[i];
    if (delta != nullptr) {
      value += Load(delta[i]) + (bias != nullptr ? bias[i] : 0.0f);
      x[i] = value;
    }
    squares += value * value;
  }
  const float scale = rsqrtf(BlockReduce(squares, Sum()) / static_cast<float>(size) + epsilon);
  for (int64_t i = threadIdx.x; i < size; i += kThreads) y[i] = Round<T>(x[i] * scale * weight[i]);
}

template <class T>
absl::Status RunRmsNorm(const T* x, int64_t rows, int64_t size, const float* weight, float epsilon, T* y,
                        Stream stream) {
  if (rows == 0) return absl::OkStatus();
  RmsNormRow<T><<<static_cast<unsigned>(rows), kThreads, 0, stream>>>(x, size, weight, epsilon, y);
  return ToStatus(cudaGetLastError(), "RmsNorm");
}

template <class T>
absl::Status RunAddRmsNorm(float* x, const T* delta, const float* bias, int64_t rows, int64_t size, const float* weight,
                           float epsilon, T* y, Stream stream) {
  if (rows == 0) return absl::OkStatus();
  AddRmsNormRow<T><<<static_cast<unsigned>(rows), kThreads, 0, stream>>>(x, delta, bias, size, weight, epsilon, y);
  return ToStatus(cudaGetLastError(), "AddRmsNorm");
}

}  // namespace

absl::Status RmsNorm(const float* x, int64_t rows, int64_t size, const float* weight, float epsilon, float* y,
                     Stream stream) {
  return RunRmsNorm(x, rows, size, weight, epsilon, y, stream);
}
absl::Status RmsNorm(const BFloat16* x, int64_t rows, int64_t size, const float* weight, float epsilon, BFloat16* y,
                     Stream stream) {
  return RunRmsNorm(x, rows, size, weight, epsilon, y, stream);
}
absl::Status AddRmsNorm(float* x, const float* delta, const float* bias, int64_t rows, int64_t size,
                        const float* weight, float epsilon, float* y, Stream stream) {
  return RunAddRmsNorm(x, delta, bias, rows, size, weight, epsilon, y, stream);
}
absl::Status AddRmsNorm(float* x, const BFloat16* delta, const float* bias, int64_t rows, int64_t size,
                        const float* weight, float epsilon, BFloat16* y, Stream stream) {
  return RunAddRmsNorm(x, delta, bias, rows, size, weight, epsilon, y, stream);
}

}  // namespace tandem::kernels::cuda
