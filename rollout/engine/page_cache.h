// The key-value cache on the CPU, in pages of 16 positions of all layers. They take memory when they are first used.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/attention.h"
#include "rollout/engine/aligned_bytes.h"

namespace tandem {

class PageCache {
 public:
  PageCache(const kernels::AttentionShape& shape, int64_t layers, int64_t pages)
      : layer_size_(kernels::PageSize(shape)), layers_(layers), pages_(pages) {}

  int64_t pages() const { return pages_; }

  // A page: one layer's part of it is layer_size() behind the other.
  float* Page(int32_t page);
  int64_t layer_size() const { return layer_size_; }

  void Copy(int32_t from, int32_t to);

 private:
  const int64_t layer_size_, layers_, pages_;
  std::vector<float*> starts_;  // of the pages that have memory
  std::vector<AlignedFloats> blocks_;
};

}  // namespace tandem
