// Attention with the keys of a row split over blocks: each leaves a partial maximum, sum and output, which a second
// kernel combines (Flash-Decoding). A block serves up to eight query heads of a key-value head: a key is read once for
// all of them.
#include <algorithm>
#include <cmath>

#include "kernels/attention.h"
#include "kernels/cuda/block.cuh"
#include "kernels/cuda/error.h"
#include "kernels/cuda/key_splits.h"
#include "kernels/cuda/number.cuh"

namespace tandem::kernels::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kBlock = 32 * kWarps;
constexpr int kSteps = 4;  // positions that a lane loads before it uses one: their latencies overlap
constexpr int64_t kMostHeads = 8;

template <class T>
struct Task {
  AttentionShape shape;
  PagedRows rows;
  const T* query;
  int64_t query_stride;
  PagedKeyValues<T> cache;
  int64_t splits;  // of the grid
  float scale;     // log2(e) / sqrt(head_size): scores are exponents of 2
  bool aligned;    // eight numbers of a key lie at a multiple of 16 bytes
  float* scratch;  // outputs [rows, heads, splits, head_size], then (maximum, sum) [rows, heads, splits, 2]
  T* out;
};

template <class T>
__device__ float* MaximumAndSum(const Task<T>& task, int64_t head_of_row, int64_t split) {
  return task.scratch + task.rows.rows * task.shape.heads * task.splits * task.shape.head_size +
         (head_of_row * task.splits + split) * 2;
}

// exp2(x - largest), where largest may be -infinity because nothing has been seen yet: then 0.
__device__ float Share(float x, float largest) { return largest == -INFINITY ? 0 : exp2f(x - largest); }

// Numbers first .. first + 7 of a key or value; 0 from head_size on.
template <class T>
__device__ void LoadPart(const T* x, int first, int head_size, bool aligned, float (&part)[8]) {
  if (aligned && first < head_size) {
    LoadEight(x + first, part);
    return;
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) part[i] = first + i < head_size ? Load(x[first + i]) : 0;
}

// Grid: row, key-value head (and which eight of its query heads), split. `lanes` lanes share a position, eight numbers
// of the head each; heads: query heads that the block serves.
template <class T, int lanes, int heads>
__global__ void __launch_bounds__(kBlock) AttendSplit(Task<T> task) {
  constexpr int kTogether = 32 / lanes;        // positions that a warp holds side by side
  constexpr int kStride = kTogether * kSteps;  // positions of a warp's turn
  __shared__ float4 query[heads][2][lanes];    // halves of the eight numbers apart: no bank conflicts
  __shared__ float partial[kWarps][heads][lanes * 8], largests[kWarps][heads], sums[kWarps][heads];

  const int64_t row = blockIdx.x, group = task.shape.heads / task.shape.kv_heads;
  const int length = task.rows.positions[row] + 1, size = static_cast<int>(task.shape.head_size);
  const KeySplits splits = SplitKeys(length);
  const int64_t split = blockIdx.z;
  if (split >= splits.count) return;
  const int begin = static_cast<int>(split * splits.size);
  const int end = length < begin + splits.size ? length : static_cast<int>(begin + splits.size);
  const int64_t parts = (group + heads - 1) / heads, kv_head = blockIdx.y / parts;
  const int64_t skipped = blockIdx.y % parts * heads, first_head = kv_head * group + skipped;
  const int count = static_cast<int>(group - skipped < heads ? group - skipped : heads);

  const T* queries = task.query + row * task.query_stride + first_head * size;
  for (int i = threadIdx.x; i < heads * lanes * 8; i += kBlock) {
    const int head = i / (lanes * 8), d = i % (lanes * 8);
    const float value = head < count && d < size ? Load(queries[head * size + d]) * task.scale : 0;
    reinterpret_cast<float*>(&query[head][d % 8 / 4][d / 8])[d % 4] = value;
  }
  __syncthreads();

  const int warp = threadIdx.x / 32, lane = threadIdx.x % lanes, place = threadIdx.x % 32 / lanes, first_d = lane * 8;
  const int32_t* table = task.rows.tables + task.rows.table_begin[row];
  float largest[heads], sum[heads], out[heads][8];
#pragma unroll
  for (int h = 0; h < heads; ++h) {
    largest[h] = -INFINITY;
    sum[h] = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) out[h][i] = 0;
  }

  for (int first = begin + warp * kStride; first < end; first += kWarps * kStride) {
    float key[kSteps][8], value[kSteps][8];
#pragma unroll
    for (int u = 0; u < kSteps; ++u) {
      const int position = first + u * kTogether + place;
      int64_t at = -1;
      if (position < end) {
        at = table[position / kPagePositions] * task.cache.page_stride +
             (kv_head * kPagePositions + position % kPagePositions) * size;
      }
      LoadPart(task.cache.keys + (at < 0 ? 0 : at), first_d, at < 0 ? 0 : size, task.aligned, key[u]);
      LoadPart(task.cache.values + (at < 0 ? 0 : at), first_d, at < 0 ? 0 : size, task.aligned, value[u]);
    }
#pragma unroll
    for (int h = 0; h < heads; ++h) {
      const float4 a = query[h][0][lane], b = query[h][1][lane];
      float score[kSteps], top = largest[h];
#pragma unroll
      for (int u = 0; u < kSteps; ++u) {
        const float* k = key[u];
        float dot =
            a.x * k[0] + a.y * k[1] + a.z * k[2] + a.w * k[3] + b.x * k[4] + b.y * k[5] + b.z * k[6] + b.w * k[7];
#pragma unroll
        for (int offset = lanes / 2; offset > 0; offset /= 2) dot += __shfl_xor_sync(~0u, dot, offset);
        score[u] = first + u * kTogether + place < end ? dot : -INFINITY;
        top = fmaxf(top, score[u]);
      }
      const float old = Share(largest[h], top);
      largest[h] = top;
      sum[h] *= old;
#pragma unroll
      for (int i = 0; i < 8; ++i) out[h][i] *= old;
#pragma unroll
      for (int u = 0; u < kSteps; ++u) {
        const float weight = Share(score[u], top);
        sum[h] += weight;
#pragma unroll
        for (int i = 0; i < 8; ++i) out[h][i] += weight * value[u][i];
      }
    }
  }

  // The positions that lie side by side in a warp, then the warps.
#pragma unroll
  for (int h = 0; h < heads; ++h) {
#pragma unroll
    for (int offset = lanes; offset < 32; offset *= 2) {
      const float other = __shfl_xor_sync(~0u, largest[h], offset);
      const float top = fmaxf(largest[h], other), mine = Share(largest[h], top), theirs = Share(other, top);
      sum[h] = sum[h] * mine + __shfl_xor_sync(~0u, sum[h], offset) * theirs;
#pragma unroll
      for (int i = 0; i < 8; ++i) out[h][i] = out[h][i] * mine + __shfl_xor_sync(~0u, out[h][i], offset) * theirs;
      largest[h] = top;
    }
    if (place == 0) {
#pragma unroll
      for (int i = 0; i < 8; ++i) partial[warp][h][first_d + i] = out[h][i];
      if (lane == 0) {
        largests[warp][h] = largest[h];
        sums[warp][h] = sum[h];
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < count * size; i += kBlock) {
    const int h = i / size, d = i % size;
    float top = -INFINITY, total = 0, result = 0;
    for (int w = 0; w < kWarps; ++w) top = fmaxf(top, largests[w][h]);
    for (int w = 0; w < kWarps; ++w) {
      const float share = Share(largests[w][h], top);
      total += sums[w][h] * share;
      result += partial[w][h][d] * share;
    }
    const int64_t head_of_row = row * task.shape.heads + first_head + h;
    if (splits.count == 1) {
      task.out[head_of_row * size + d] = Round<T>(result / total);
      continue;
    }
    task.scratch[(head_of_row * task.splits + split) * size + d] = result;
    if (d == 0) {
      MaximumAndSum(task, head_of_row, split)[0] = top;
      MaximumAndSum(task, head_of_row, split)[1] = total;
    }
  }
}

// Grid: row, head. Rows of one split are done already.
template <class T>
__global__ void __launch_bounds__(kBlock) CombineSplits(Task<T> task) {
  const int64_t count = SplitKeys(task.rows.positions[blockIdx.x] + 1).count, size = task.shape.head_size;
  if (count <= 1) return;
  const int64_t head_of_row = int64_t{blockIdx.x} * task.shape.heads + blockIdx.y;
  const float* state = MaximumAndSum(task, head_of_row, 0);
  float top = -INFINITY, total = 0;
  for (int64_t s = 0; s < count; ++s) top = fmaxf(top, state[2 * s]);
  for (int64_t s = 0; s < count; ++s) total += state[2 * s + 1] * Share(state[2 * s], top);
  const float* outputs = task.scratch + head_of_row * task.splits * size;
  for (int64_t d = threadIdx.x; d < size; d += kBlock) {
    float result = 0;
    for (int64_t s = 0; s < count; ++s) result += outputs[s * size + d] * Share(state[2 * s], top);
    task.out[head_of_row * size + d] = Round<T>(result / total);
  }
}

template <class T, int lanes, int heads>
void Launch(const Task<T>& task, Stream stream) {
  const int64_t group = task.shape.heads / task.shape.kv_heads, parts = (group + heads - 1) / heads;
  const dim3 grid(static_cast<unsigned>(task.rows.rows), static_cast<unsigned>(task.shape.kv_heads * parts),
                  static_cast<unsigned>(task.splits));
  AttendSplit<T, lanes, heads><<<grid, kBlock, 0, stream>>>(task);
}

template <class T, int lanes>
void LaunchHeads(const Task<T>& task, Stream stream) {
  const int64_t group = task.shape.heads / task.shape.kv_heads;
  if (group == 1) return Launch<T, lanes, 1>(task, stream);
  if (group == 2) return Launch<T, lanes, 2>(task, stream);
  if (group <= 4) return Launch<T, lanes, 4>(task, stream);
  Launch<T, lanes, kMostHeads>(task, stream);
}

template <class T>
absl::Status Run(const AttentionShape& shape, const PagedRows& rows, const T* query, int64_t query_stride,
                 const PagedKeyValues<T>& cache, int64_t splits, float* scratch, T* out, Stream stream) {
  if (shape.head_size > 256) {
    return absl::InvalidArgumentError(absl::StrCat("attention: heads of ", shape.head_size, "; at most 256 are built"));
  }
  if (rows.rows == 0) return absl::OkStatus();
  const auto address = reinterpret_cast<uintptr_t>(cache.keys) | reinterpret_cast<uintptr_t>(cache.values);
  const Task<T> task = {.shape = shape,
                        .rows = rows,
                        .query = query,
                        .query_stride = query_stride,
                        .cache = cache,
                        .splits = std::max<int64_t>(splits, 1),
                        .scale = static_cast<float>(std::log2(std::exp(1.0)) / std::sqrt(double(shape.head_size))),
                        .aligned = shape.head_size % 8 == 0 && cache.page_stride % 8 == 0 && address % 16 == 0,
                        .scratch = scratch,
                        .out = out};
  if (shape.head_size <= 64) {
    LaunchHeads<T, 8>(task, stream);
  } else if (shape.head_size <= 128) {
    LaunchHeads<T, 16>(task, stream);
  } else {
    LaunchHeads<T, 32>(task, stream);
  }
  const absl::Status status = ToStatus(cudaGetLastError(), "Attend");
  if (!status.ok() || splits <= 1) return status;
  const dim3 grid(static_cast<unsigned>(rows.rows), static_cast<unsigned>(shape.heads));
  CombineSplits<T><<<grid, kBlock, 0, stream>>>(task);
  return ToStatus(cudaGetLastError(), "Attend: combine");
}

}  // namespace

absl::Status Attend(const AttentionShape& shape, const PagedRows& rows, const float* query, int64_t query_stride,
                    const PagedKeyValues<float>& cache, int64_t splits, float* scratch, float* out, Stream stream) {
  return Run(shape, rows, query, query_stride, cache, splits, scratch, out, stream);
}
absl::Status Attend(const AttentionShape& shape, const PagedRows& rows, const BFloat16* query, int64_t query_stride,
                    const PagedKeyValues<BFloat16>& cache, int64_t splits, float* scratch, BFloat16* out,
                    Stream stream) {
  return Run(shape, rows, query, query_stride, cache, splits, scratch, out, stream);
}

}  // namespace tandem::kernels::cuda
