#include <climits>
#include <cmath>

#include "kernels/cuda/block.cuh"
#include "kernels/cuda/error.h"
#include "kernels/sampling.h"

namespace tandem::kernels::cuda {
namespace {

__device__ float Weight(float logit, float largest, float temperature) { return expf((logit - largest) / temperature); }

// Each thread owns `share` tokens in a row, so that a scan over threads is a scan over the vocabulary.
struct Range {
  int64_t begin, end;
};
__device__ Range OwnTokens(int64_t vocabulary) {
  const int64_t share = (vocabulary + kThreads - 1) / kThreads, begin = threadIdx.x * share;
  return {begin < vocabulary ? begin : vocabulary, begin + share < vocabulary ? begin + share : vocabulary};
}

// One block a row.
__global__ void SampleRow(const float* all_logits, int64_t vocabulary, const float* temperatures, const float* uniforms,
                          Draw* draws) {
  __shared__ int chosen, fallback;
  const float* logits = all_logits + blockIdx.x * vocabulary;
  const float temperature = temperatures[blockIdx.x];
  const Range own = OwnTokens(vocabulary);
  if (threadIdx.x == 0) {
    chosen = INT_MAX;
    fallback = -1;
  }

  float own_largest = -INFINITY;
  for (int64_t i = own.begin; i < own.end; ++i) own_largest = fmaxf(own_largest, logits[i]);
  const float largest = BlockReduce(own_largest, Max());
  float model_sum = 0, sum = 0;
  for (int64_t i = own.begin; i < own.end; ++i) {
    model_sum += Weight(logits[i], largest, 1);
    if (temperature != 0) sum += Weight(logits[i], largest, temperature);
  }
  const float model_total = BlockReduce(model_sum, Sum()), total = BlockReduce(sum, Sum());
  float before = BlockSumBefore(sum);

  // Rounding may let cumulative sums of neighbouring threads overlap or leave a gap: the smallest token that lies above
  // the target wins, and where none does, the last of positive weight.
  const float target = uniforms[blockIdx.x] * total;
  for (int64_t i = own.begin; i < own.end; ++i) {
    if (temperature == 0) {
      if (logits[i] == largest) atomicMin(&chosen, static_cast<int>(i));
      continue;
    }
    const float weight = Weight(logits[i], largest, temperature);
    before += weight;
    if (weight > 0 && before > target) atomicMin(&chosen, static_cast<int>(i));
    if (weight > 0) atomicMax(&fallback, static_cast<int>(i));
  }
  __syncthreads();
  if (threadIdx.x != 0) return;

  if (!isfinite(largest) || !isfinite(model_total)) {
    draws[blockIdx.x] = {0, NAN, NAN};
    return;
  }
  const int token = chosen != INT_MAX ? chosen : fallback;
  const float below = logits[token] - largest;
  draws[blockIdx.x] = {token, temperature == 0 ? 0.0f : below / temperature - logf(total), below - logf(model_total)};
}

}  // namespace

absl::Status Sample(const float* logits, int64_t rows, int64_t vocabulary, const float* temperatures,
                    const float* uniforms, Draw* draws, Stream stream) {
  if (rows == 0) return absl::OkStatus();
  SampleRow<<<static_cast<unsigned>(rows), kThreads, 0, stream>>>(logits, vocabulary, temperatures, uniforms, draws);
  return ToStatus(cudaGetLastError(), "Sample");
}

}  // namespace tandem::kernels::cuda
