// Blocks go through tiles of logits [kTile rows, kTile tokens]; a thread keeps the running softmax of the rows of which
// it holds logits, over its own tokens, and threads are put together once, at the end of the stretch.
#include "kernels/cuda/block.cuh"
#include "kernels/cuda/error.h"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/number.cuh"
#include "kernels/cuda/running_softmax.cuh"
#include "kernels/linear_logprob.h"

namespace tandem::kernels::cuda {
namespace {

template <class T>
struct Task {
  const T* x;
  int64_t rows;
  int64_t size;
  const T* weight;
  int64_t vocabulary;
  const int32_t* targets;
  int64_t stretches;
  float* states;  // [rows, stretches, 2]: largest and sum
  float* logits;  // [rows], of the targets
  float* logprobs;
};

// The stretch of this block: tokens [begin, end).
struct Stretch {
  int64_t begin, end;
};
__device__ Stretch OwnStretch(int64_t vocabulary) {
  const int64_t begin = blockIdx.y * kLogProbStretch, end = begin + kLogProbStretch;
  return {begin, end < vocabulary ? end : vocabulary};
}

template <class T>
__device__ void AddLogit(const Task<T>& task, int64_t row, int64_t token, int64_t end, int64_t target, float logit,
                         RunningSoftmax* state) {
  if (token >= end) return;
  state->Add(logit);
  if (token == target) task.logits[row] = logit;
}

template <class T>
__device__ void StoreState(const Task<T>& task, int64_t row, const RunningSoftmax& state) {
  if (row >= task.rows) return;
  float* to = task.states + (row * task.stretches + blockIdx.y) * 2;
  to[0] = state.largest;
  to[1] = state.sum;
}

__device__ RunningSoftmax FromLane(const RunningSoftmax& state, int offset) {
  return {__shfl_xor_sync(~0u, state.largest, offset), __shfl_xor_sync(~0u, state.sum, offset)};
}

// Any type and size: tiles of 64 rows and 64 tokens, 4 x 4 of each thread.
template <class T>
__global__ void __launch_bounds__(kThreads) SimpleStretch(Task<T> task) {
  constexpr int kTile = 64, kDepth = 16;
  __shared__ float xs[kDepth][kTile + 1], weights[kDepth][kTile + 1];
  const Stretch own = OwnStretch(task.vocabulary);
  const int64_t first_row = int64_t{blockIdx.x} * kTile;
  const int column = threadIdx.x % 16, line = threadIdx.x / 16;  // of the thread's 4 x 4: rows line + 16 i
  RunningSoftmax states[4];
  int targets[4];
  for (int i = 0; i < 4; ++i) {
    const int64_t row = first_row + line + 16 * i;
    targets[i] = row < task.rows ? task.targets[row] : -1;
  }
  for (int64_t first = own.begin; first < own.end; first += kTile) {
    float sums[4][4] = {};
    for (int64_t depth = 0; depth < task.size; depth += kDepth) {
      for (int i = threadIdx.x; i < kTile * kDepth; i += kThreads) {
        const int64_t k = depth + i % kDepth, row = first_row + i / kDepth, token = first + i / kDepth;
        const bool inside = k < task.size;
        xs[i % kDepth][i / kDepth] = inside && row < task.rows ? Load(task.x[row * task.size + k]) : 0;
        weights[i % kDepth][i / kDepth] = inside && token < own.end ? Load(task.weight[token * task.size + k]) : 0;
      }
      __syncthreads();
#pragma unroll
      for (int k = 0; k < kDepth; ++k) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int j = 0; j < 4; ++j) sums[i][j] += xs[k][line + 16 * i] * weights[k][column + 16 * j];
        }
      }
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        AddLogit(task, first_row + line + 16 * i, first + column + 16 * j, own.end, targets[i], sums[i][j], &states[i]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {  // a row's threads are 16 lanes in a row
    for (int offset = 8; offset > 0; offset /= 2) states[i].Merge(FromLane(states[i], offset));
    if (column == 0) StoreState(task, first_row + line + 16 * i, states[i]);
  }
}

// Tensor cores: tiles of 128 rows and 128 tokens; 8 warps, 2 by 4, of 64 rows and 32 tokens each. While one slice of 32
// of the inner dimension is multiplied, the next one is copied.
constexpr int kTile = 128, kSlice = 32;
constexpr int kPitch = kSlice + 8;  // 80 bytes: the eight rows of a matrix lie in different banks

struct Slices {
  BFloat16 x[kTile][kPitch], weight[kTile][kPitch];
};

__device__ void BeginSlice(const Task<BFloat16>& task, int64_t first_row, int64_t first_token, int64_t end,
                           int64_t depth, Slices* to) {
#pragma unroll
  for (int i = 0; i < kTile * kSlice / 8 / kThreads; ++i) {
    const int piece = i * kThreads + threadIdx.x, line = piece / (kSlice / 8), k = piece % (kSlice / 8) * 8;
    const int64_t row = first_row + line, token = first_token + line;
    const bool inside = depth + k < task.size;
    const bool has_row = inside && row < task.rows, has_token = inside && token < end;
    BeginCopy16(&to->x[line][k], has_row ? task.x + row * task.size + depth + k : task.x, has_row);
    BeginCopy16(&to->weight[line][k], has_token ? task.weight + token * task.size + depth + k : task.weight, has_token);
  }
  EndCopies();
}

// sums += the product of the slices, for the warp's 4 x 4 of 16 rows and 8 tokens.
__device__ void MultiplySlice(const Slices& from, int warp_row, int warp_token, int lane, float (&sums)[4][4][4]) {
#pragma unroll
  for (int k = 0; k < kSlice; k += 16) {
    uint32_t x[4][4], weight[2][4];
#pragma unroll
    for (int m = 0; m < 4; ++m) LoadMatrices(&from.x[warp_row + 16 * m + lane % 16][k + lane / 16 * 8], x[m]);
#pragma unroll
    for (int n = 0; n < 2; ++n) {  // matrices: tokens 0-7 at k, at k + 8; tokens 8-15 at k, at k + 8
      LoadMatrices(&from.weight[warp_token + 16 * n + lane / 16 * 8 + lane % 8][k + lane / 8 % 2 * 8], weight[n]);
    }
#pragma unroll
    for (int m = 0; m < 4; ++m) {
#pragma unroll
      for (int n = 0; n < 4; ++n) MultiplyAdd(x[m], weight[n / 2][n % 2 * 2], weight[n / 2][n % 2 * 2 + 1], sums[m][n]);
    }
  }
}

__global__ void __launch_bounds__(kThreads, 2) TensorCoreStretch(Task<BFloat16> task) {
  __shared__ __align__(16) Slices slices[2];
  __shared__ float largest[4][kTile], sum[4][kTile];  // of the four warps that share a row
  const Stretch own = OwnStretch(task.vocabulary);
  const int64_t first_row = int64_t{blockIdx.x} * kTile;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int warp_row = warp / 4 * 64, warp_token = warp % 4 * 32;
  RunningSoftmax states[4][2];  // of rows warp_row + 16 m + lane / 4 and 8 below
  int targets[4][2];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int64_t row = first_row + warp_row + 16 * (i / 2) + lane / 4 + 8 * (i % 2);
    targets[i / 2][i % 2] = row < task.rows ? task.targets[row] : -1;
  }
  for (int64_t first = own.begin; first < own.end; first += kTile) {
    float sums[4][4][4] = {};
    BeginSlice(task, first_row, first, own.end, 0, &slices[0]);
    int current = 0;
    for (int64_t depth = 0; depth < task.size; depth += kSlice, current ^= 1) {
      WaitForCopies<0>();
      __syncthreads();  // the current slice is there for all, and none reads the other one any more
      if (depth + kSlice < task.size) {
        BeginSlice(task, first_row, first, own.end, depth + kSlice, &slices[current ^ 1]);
      }
      MultiplySlice(slices[current], warp_row, warp_token, lane, sums);
    }
    __syncthreads();  // before the next tile's first slice is copied
#pragma unroll
    for (int m = 0; m < 4; ++m) {
#pragma unroll
      for (int n = 0; n < 4; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int64_t row = first_row + warp_row + 16 * m + lane / 4 + i / 2 * 8;
          const int64_t token = first + warp_token + 8 * n + lane % 4 * 2 + i % 2;
          AddLogit(task, row, token, own.end, targets[m][i / 2], sums[m][n][i], &states[m][i / 2]);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 8; ++i) {  // a row's threads are four lanes in a row, of four warps
    RunningSoftmax& state = states[i / 2][i % 2];
    state.Merge(FromLane(state, 1));
    state.Merge(FromLane(state, 2));
    const int row = warp_row + 16 * (i / 2) + lane / 4 + 8 * (i % 2);
    if (lane % 4 == 0) {
      largest[warp % 4][row] = state.largest;
      sum[warp % 4][row] = state.sum;
    }
  }
  __syncthreads();
  if (threadIdx.x >= kTile) return;
  RunningSoftmax state;
  for (int w = 0; w < 4; ++w) state.Merge({largest[w][threadIdx.x], sum[w][threadIdx.x]});
  StoreState(task, first_row + threadIdx.x, state);
}

// One thread a row.
template <class T>
__global__ void Combine(Task<T> task) {
  const int64_t row = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row >= task.rows) return;
  RunningSoftmax state;
  for (int64_t i = 0; i < task.stretches; ++i) {
    const float* from = task.states + (row * task.stretches + i) * 2;
    state.Merge({from[0], from[1]});
  }
  task.logprobs[row] = task.logits[row] - state.largest - logf(state.sum);
}

template <class T>
absl::Status Run(const T* x, int64_t rows, int64_t size, const T* weight, int64_t vocabulary, const int32_t* targets,
                 float* scratch, float* logprobs, Stream stream) {
  if (rows == 0) return absl::OkStatus();
  const int64_t stretches = (vocabulary + kLogProbStretch - 1) / kLogProbStretch;
  const Task<T> task = {
      x, rows, size, weight, vocabulary, targets, stretches, scratch, scratch + 2 * rows * stretches, logprobs};
  const auto grid = [&](int64_t tile) {
    return dim3(static_cast<unsigned>((rows + tile - 1) / tile), static_cast<unsigned>(stretches));
  };
  bool done = false;
  if constexpr (std::is_same_v<T, BFloat16>) {
    const auto address = reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(weight);
    if (size % 8 == 0 && address % 16 == 0) {
      TensorCoreStretch<<<grid(kTile), kThreads, 0, stream>>>(task);
      done = true;
    }
  }
  if (!done) SimpleStretch<T><<<grid(64), kThreads, 0, stream>>>(task);
  const absl::Status status = ToStatus(cudaGetLastError(), "LinearLogProb");
  if (!status.ok()) return status;
  Combine<T><<<static_cast<unsigned>((rows + kThreads - 1) / kThreads), kThreads, 0, stream>>>(task);
  return ToStatus(cudaGetLastError(), "LinearLogProb: combine");
}

}  // namespace

absl::Status LinearLogProb(const float* x, int64_t rows, int64_t size, const float* weight, int64_t vocabulary,
                           const int32_t* targets, float* scratch, float* logprobs, Stream stream) {
  return Run(x, rows, size, weight, vocabulary, targets, scratch, logprobs, stream);
}
absl::Status LinearLogProb(const BFloat16* x, int64_t rows, int64_t size, const BFloat16* weight, int64_t vocabulary,
                           const int32_t* targets, float* scratch, float* logprobs, Stream stream) {
  return Run(x, rows, size, weight, vocabulary, targets, scratch, logprobs, stream);
}

}  // namespace tandem::kernels::cuda
