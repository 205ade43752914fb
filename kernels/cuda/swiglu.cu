#include "kernels/cuda/block.cuh"
#include "kernels/cuda/error.h"
#include "kernels/cuda/number.cuh"
#include "kernels/swiglu.h"

namespace tandem::kernels::cuda {
namespace {

// One thread an output. exp(-gate) may be infinite, and the quotient then 0, which is right.
template <class T>
__global__ void Gate(const T* gate_up, const float* bias, int64_t size, int64_t intermediate, T* y) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= size) return;
  const int64_t row = at / intermediate, i = at % intermediate;
  const T* from = gate_up + row * 2 * intermediate + i;
  float gate = Load(from[0]), up = Load(from[intermediate]);
  if (bias != nullptr) {
    gate += bias[i];
    up += bias[intermediate + i];
  }
  y[at] = Round<T>(gate / (1 + expf(-gate)) * up);
}

template <class T>
absl::Status RunSwiGlu(const T* gate_up, const float* bias, int64_t rows, int64_t intermediate, T* y, Stream stream) {
  const int64_t size = rows * intermediate;
  if (size == 0) return absl::OkStatus();
  const auto blocks = static_cast<unsigned>((size + kThreads - 1) / kThreads);
  Gate<T><<<blocks, kThreads, 0, stream>>>(gate_up, bias, size, intermediate, y);
  return ToStatus(cudaGetLastError(), "SwiGlu");
}

}  // namespace

absl::Status SwiGlu(const float* gate_up, const float* bias, int64_t rows, int64_t intermediate, float* y,
                    Stream stream) {
  return RunSwiGlu(gate_up, bias, rows, intermediate, y, stream);
}
absl::Status SwiGlu(const BFloat16* gate_up, const float* bias, int64_t rows, int64_t intermediate, BFloat16* y,
                    Stream stream) {
  return RunSwiGlu(gate_up, bias, rows, intermediate, y, stream);
}

}  // namespace tandem::kernels::cuda
