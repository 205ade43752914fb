#include "kernels/cuda/block.cuh"
#include "kernels/cuda/error.h"
#include "kernels/cuda/number.cuh"
#include "kernels/cuda/rows.h"

namespace tandem::kernels::cuda {
namespace {

template <class T>
__global__ void TakeRow(const T* table, const int32_t* index, int64_t size, T* out) {
  const T* from = table + index[blockIdx.x] * size;
  out += blockIdx.x * size;
  for (int64_t i = threadIdx.x; i < size; i += kThreads) out[i] = from[i];
}

__global__ void ConvertAll(const float* x, int64_t size, BFloat16* y) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < size) y[i] = Round<BFloat16>(x[i]);
}

template <class T>
absl::Status RunTakeRows(const T* table, const int32_t* index, int64_t rows, int64_t size, T* out, Stream stream) {
  if (rows == 0) return absl::OkStatus();
  TakeRow<T><<<static_cast<unsigned>(rows), kThreads, 0, stream>>>(table, index, size, out);
  return ToStatus(cudaGetLastError(), "TakeRows");
}

}  // namespace

absl::Status TakeRows(const float* table, const int32_t* index, int64_t rows, int64_t size, float* out, Stream stream) {
  return RunTakeRows(table, index, rows, size, out, stream);
}
absl::Status TakeRows(const BFloat16* table, const int32_t* index, int64_t rows, int64_t size, BFloat16* out,
                      Stream stream) {
  return RunTakeRows(table, index, rows, size, out, stream);
}

absl::Status Convert(const float* x, int64_t size, BFloat16* y, Stream stream) {
  if (size == 0) return absl::OkStatus();
  ConvertAll<<<static_cast<unsigned>((size + kThreads - 1) / kThreads), kThreads, 0, stream>>>(x, size, y);
  return ToStatus(cudaGetLastError(), "Convert");
}

}  // namespace tandem::kernels::cuda
