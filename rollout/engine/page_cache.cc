#include "rollout/engine/page_cache.h"

#include <algorithm>
#include <cstring>

#include "base/status.h"

namespace tandem {
namespace {

constexpr int64_t kBlockBytes = 4 << 20;  // of memory that pages get together: huge pages of the system's

}  // namespace

float* PageCache::Page(int32_t page) {
  TANDEM_CHECK(page >= 0 && page < pages_);
  while (static_cast<size_t>(page) >= starts_.size()) {
    const int64_t page_bytes = layers_ * layer_size_ * static_cast<int64_t>(sizeof(float));
    const int64_t left = pages_ - static_cast<int64_t>(starts_.size());
    const int64_t count = std::min(left, std::max<int64_t>(1, kBlockBytes / page_bytes));
    blocks_.emplace_back(count * layers_ * layer_size_);
    for (int64_t i = 0; i < count; ++i) starts_.push_back(blocks_.back().data() + i * layers_ * layer_size_);
  }
  return starts_[static_cast<size_t>(page)];
}

void PageCache::Copy(int32_t from, int32_t to) {
  std::memcpy(Page(to), Page(from), static_cast<size_t>(layers_ * layer_size_) * sizeof(float));
}

}  // namespace tandem
