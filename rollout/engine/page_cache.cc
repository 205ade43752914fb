#include "rollout/engine/page_cache.h"

#include <cstring>

#include "base/status.h"

namespace tandem {
namespace {

constexpr int64_t kPagesOfBlock = 16;  // that get their memory together

}  // namespace

float* PageCache::Page(int32_t page, int64_t layer) {
  TANDEM_CHECK(page >= 0 && page < pages_);
  while (static_cast<size_t>(page) >= starts_.size()) {
    blocks_.emplace_back(kPagesOfBlock * layers_ * layer_size_);
    for (int64_t i = 0; i < kPagesOfBlock; ++i) starts_.push_back(blocks_.back().data() + i * layers_ * layer_size_);
  }
  return starts_[static_cast<size_t>(page)] + layer * layer_size_;
}

void PageCache::Copy(int32_t from, int32_t to) {
  std::memcpy(Page(to, 0), Page(from, 0), static_cast<size_t>(layers_ * layer_size_) * sizeof(float));
}

}  // namespace tandem
