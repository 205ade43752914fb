#include "kernels/attention.h"
#include "kernels/cuda/block.cuh"
#include "kernels/cuda/error.h"
#include "kernels/cuda/number.cuh"

namespace tandem::kernels::cuda {
namespace {

constexpr int kHeadsOfBlock = kThreads / 32;

// One warp a head of a row: queries first, then keys, then values.
template <class T>
__global__ void StoreTurnedHeads(AttentionShape shape, PagedRows rows, Projections<T> from, PagedKeyValues<T> cache) {
  const int64_t of_row = shape.heads + 2 * shape.kv_heads, size = shape.head_size, half = size / 2;
  const int64_t at = int64_t{blockIdx.x} * kHeadsOfBlock + threadIdx.x / 32;
  if (at >= rows.rows * of_row) return;
  const int64_t row = at / of_row, head = at % of_row;
  const int position = rows.positions[row], lane = threadIdx.x % 32;
  if (position < 0) return;
  const bool is_query = head < shape.heads, is_value = head >= shape.heads + shape.kv_heads;
  T* x = from.qkv + at * size;
  const float* bias = from.bias == nullptr ? nullptr : from.bias + head * size;
  const auto biased = [&](int64_t i) { return Load(x[i]) + (bias == nullptr ? 0.0f : bias[i]); };

  T* to = x;
  if (!is_query) {
    const int64_t page = rows.tables[rows.table_begin[row] + position / kPagePositions];
    const int64_t kv_head = (head - shape.heads) % shape.kv_heads;
    to = (is_value ? cache.values : cache.keys) + page * cache.page_stride +
         (kv_head * kPagePositions + position % kPagePositions) * size;
  }
  if (is_value) {
    for (int64_t i = lane; i < size; i += 32) to[i] = Round<T>(biased(i));
    return;
  }

  const float* norm = is_query ? from.q_norm : from.k_norm;
  float scale = 1;
  if (norm != nullptr) {
    float squares = 0;
    for (int64_t i = lane; i < size; i += 32) squares += biased(i) * biased(i);
    scale = rsqrtf(WarpReduce(squares, Sum()) / static_cast<float>(size) + from.epsilon);
  }
  const float* cosine = from.cosine + position * half;
  const float* sine = from.sine + position * half;
  for (int64_t i = lane; i < half; i += 32) {  // a lane reads and writes its own pairs only
    float a = biased(i), b = biased(half + i);
    if (norm != nullptr) {
      a *= scale * norm[i];
      b *= scale * norm[half + i];
    }
    to[i] = Round<T>(a * cosine[i] - b * sine[i]);
    to[half + i] = Round<T>(b * cosine[i] + a * sine[i]);
  }
}

template <class T>
absl::Status Run(const AttentionShape& shape, const PagedRows& rows, const Projections<T>& projections,
                 const PagedKeyValues<T>& cache, Stream stream) {
  const int64_t heads = rows.rows * (shape.heads + 2 * shape.kv_heads);
  if (heads == 0) return absl::OkStatus();
  const auto blocks = static_cast<unsigned>((heads + kHeadsOfBlock - 1) / kHeadsOfBlock);
  StoreTurnedHeads<T><<<blocks, kThreads, 0, stream>>>(shape, rows, projections, cache);
  return ToStatus(cudaGetLastError(), "StoreTurned");
}

}  // namespace

absl::Status StoreTurned(const AttentionShape& shape, const PagedRows& rows, const Projections<float>& projections,
                         const PagedKeyValues<float>& cache, Stream stream) {
  return Run(shape, rows, projections, cache, stream);
}
absl::Status StoreTurned(const AttentionShape& shape, const PagedRows& rows, const Projections<BFloat16>& projections,
                         const PagedKeyValues<BFloat16>& cache, Stream stream) {
  return Run(shape, rows, projections, cache, stream);
}

}  // namespace tandem::kernels::cuda
