#include <climits>
#include <cmath>

#include "kernels/cuda/block.cuh"
#include "kernels/cuda/error.h"
#include "kernels/sampling.h"

namespace tandem::kernels::cuda {
namespace {

constexpr int kRowThreads = 1024;
constexpr int kRowWarps = kRowThreads / 32;
constexpr int kMostTiles = 1024;

// The vocabulary in tiles whose weights are summed before the search looks into one of them.
__device__ int64_t TileSize(int64_t vocabulary) {
  const int64_t least = (vocabulary + kMostTiles - 1) / kMostTiles;
  return least <= 1024 ? 1024 : (least + 31) / 32 * 32;
}

__device__ float Weight(float logit, float largest, float temperature) { return expf((logit - largest) / temperature); }

// What the tiles sum up to, front to back.
__device__ float Total(const float* sums, int64_t tiles) {
  float total = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) total += sums[tile];
  return total;
}

// The first token of logits [begin, end) whose cumulative weight exceeds `target`, when `before` lies before them.
// Where rounding leaves none, the last one of positive weight. All lanes of a warp call it together.
__device__ int64_t SearchTile(const float* logits, int64_t begin, int64_t end, float largest, float temperature,
                              float before, float target) {
  const int lane = threadIdx.x % 32;
  int64_t last = begin;
  for (int64_t first = begin; first < end; first += 32) {
    const float weight = first + lane < end ? Weight(logits[first + lane], largest, temperature) : 0;
    float inclusive = weight;
    for (int offset = 1; offset < 32; offset *= 2) {
      const float other = __shfl_up_sync(~0u, inclusive, offset);
      if (lane >= offset) inclusive += other;
    }
    const unsigned above = __ballot_sync(~0u, weight > 0 && before + inclusive > target);
    if (above != 0) return first + __ffs(static_cast<int>(above)) - 1;
    const unsigned positive = __ballot_sync(~0u, weight > 0);
    if (positive != 0) last = first + 31 - __clz(static_cast<int>(positive));
    before += __shfl_sync(~0u, inclusive, 31);
  }
  return last;
}

// One block a row.
__global__ void __launch_bounds__(kRowThreads)
    SampleRow(const float* all_logits, int64_t vocabulary, const float* temperatures, const float* uniforms,
              Draw* draws) {
  __shared__ float sums[kMostTiles], model_sums[kMostTiles];
  __shared__ int first_largest;
  const float* logits = all_logits + blockIdx.x * vocabulary;
  const float temperature = temperatures[blockIdx.x];
  const int64_t size = TileSize(vocabulary), tiles = (vocabulary + size - 1) / size;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (threadIdx.x == 0) first_largest = INT_MAX;

  float own_largest = -INFINITY;
#pragma unroll 8
  for (int64_t i = threadIdx.x; i < vocabulary; i += kRowThreads) own_largest = fmaxf(own_largest, logits[i]);
  const float largest = BlockReduce<kRowThreads>(own_largest, Max());  // and first_largest is set
  for (int64_t tile = warp; tile < tiles; tile += kRowWarps) {
    const int64_t end = (tile + 1) * size < vocabulary ? (tile + 1) * size : vocabulary;
    float model_sum = 0, sum = 0;
#pragma unroll 4
    for (int64_t i = tile * size + lane; i < end; i += 32) {
      const float logit = logits[i];
      model_sum += Weight(logit, largest, 1);
      if (temperature != 0 && temperature != 1) sum += Weight(logit, largest, temperature);
      if (temperature == 0 && logit == largest) atomicMin(&first_largest, static_cast<int>(i));
    }
    model_sum = WarpReduce(model_sum, Sum());
    sum = temperature == 1 ? model_sum : WarpReduce(sum, Sum());
    if (lane == 0) {
      model_sums[tile] = model_sum;
      sums[tile] = sum;
    }
  }
  __syncthreads();
  if (warp != 0) return;

  const float model_total = Total(model_sums, tiles);
  if (!isfinite(largest) || !isfinite(model_total)) {
    if (lane == 0) draws[blockIdx.x] = {0, NAN, NAN};
    return;
  }
  if (temperature == 0) {
    if (lane == 0) draws[blockIdx.x] = {first_largest, 0, -logf(model_total)};
    return;
  }
  const float total = Total(sums, tiles), target = uniforms[blockIdx.x] * total;
  float before = 0, before_chosen = 0;
  int64_t chosen = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    if (sums[tile] > 0) {
      chosen = tile;
      before_chosen = before;
      if (before + sums[tile] > target) break;
    }
    before += sums[tile];
  }
  const int64_t end = (chosen + 1) * size < vocabulary ? (chosen + 1) * size : vocabulary;
  const int64_t token = SearchTile(logits, chosen * size, end, largest, temperature, before_chosen, target);
  if (lane != 0) return;
  const float below = logits[token] - largest;
  draws[blockIdx.x] = {static_cast<int32_t>(token), below / temperature - logf(total), below - logf(model_total)};
}

}  // namespace

absl::Status Sample(const float* logits, int64_t rows, int64_t vocabulary, const float* temperatures,
                    const float* uniforms, Draw* draws, Stream stream) {
  if (rows == 0) return absl::OkStatus();
  SampleRow<<<static_cast<unsigned>(rows), kRowThreads, 0, stream>>>(logits, vocabulary, temperatures, uniforms, draws);
  return ToStatus(cudaGetLastError(), "Sample");
}

}  // namespace tandem::kernels::cuda
