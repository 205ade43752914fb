#include "kernels/cuda/block.cuh"
#include "kernels/cuda/error.h"
#include "kernels/cuda/number.cuh"
#include "kernels/rotary.h"

namespace tandem::kernels::cuda {
namespace {

// One thread a pair of dimensions.
template <class T>
__global__ void TurnPairs(T* x, int64_t pairs, int64_t heads, int64_t half, const int32_t* positions,
                          const float* cosine, const float* sine) {
  const int64_t pair = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (pair >= pairs) return;
  const int64_t i = pair % half, head = pair / half;  // head: of all rows
  const int64_t angle = positions[head / heads] * half + i;
  T* low = x + head * 2 * half + i;
  const float a = Load(low[0]), b = Load(low[half]), c = cosine[angle], s = sine[angle];
  low[0] = Round<T>(a * c - b * s);
  low[half] = Round<T>(b * c + a * s);
}

template <class T>
absl::Status RunRotary(T* x, int64_t rows, int64_t heads, int64_t head_size, const int32_t* positions,
                       const float* cosine, const float* sine, Stream stream) {
  const int64_t half = head_size / 2, pairs = rows * heads * half;
  if (pairs == 0) return absl::OkStatus();
  const auto blocks = static_cast<unsigned>((pairs + kThreads - 1) / kThreads);
  TurnPairs<T><<<blocks, kThreads, 0, stream>>>(x, pairs, heads, half, positions, cosine, sine);
  return ToStatus(cudaGetLastError(), "Rotary");
}

}  // namespace

absl::Status Rotary(float* x, int64_t rows, int64_t heads, int64_t head_size, const int32_t* positions,
                    const float* cosine, const float* sine, Stream stream) {
  return RunRotary(x, rows, heads, head_size, positions, cosine, sine, stream);
}
absl::Status Rotary(BFloat16* x, int64_t rows, int64_t heads, int64_t head_size, const int32_t* positions,
                    const float* cosine, const float* sine, Stream stream) {
  return RunRotary(x, rows, heads, head_size, positions, cosine, sine, stream);
}

}  // namespace tandem::kernels::cuda
