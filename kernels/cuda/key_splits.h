// How a row's keys are split over blocks (Flash-Decoding: Dao et al., 2023). By the row's length alone: the order of
// its sums, and with it its bits, does not depend on the batch.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define TANDEM_HOST_DEVICE __host__ __device__
#else
#define TANDEM_HOST_DEVICE
#endif

namespace tandem::kernels::cuda {

inline constexpr int64_t kLeastSplit = 256;  // positions that are worth a block
inline constexpr int64_t kMostSplits = 32;   // of a row

struct KeySplits {
  int64_t size;   // positions of each split but the last, a multiple of 16
  int64_t count;  // 0 for no positions, kMostSplits at most
};

TANDEM_HOST_DEVICE inline KeySplits SplitKeys(int64_t length) {
  const int64_t least = (length + kMostSplits - 1) / kMostSplits;
  const int64_t size = least <= kLeastSplit ? kLeastSplit : (least + 15) / 16 * 16;
  return {size, (length + size - 1) / size};
}

}  // namespace tandem::kernels::cuda
