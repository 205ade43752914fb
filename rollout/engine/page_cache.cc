#include "rollout/engine/page_cache.h"

#include <cstring>

#include "base/status.h"

namespace tandem {

PageCache::PageCache(const kernels::AttentionShape& shape, int64_t layers, int64_t context, int64_t slots)
    : layer_size_(kernels::PageSize(shape)),
      layers_(layers),
      pages_per_slot_((context + kernels::kPagePositions - 1) / kernels::kPagePositions),
      pages_(slots) {
  for (SlotPages& slot : pages_) slot.of_layer.resize(layers);
}

void PageCache::Reserve(int64_t slot, int64_t position) {
  TANDEM_CHECK(slot >= 0 && slot < slots());
  SlotPages& pages = pages_[slot];
  if (position == 0) Clear(pages);
  const int64_t page = position / kernels::kPagePositions;
  TANDEM_CHECK(page < pages_per_slot_ && page <= static_cast<int64_t>(pages.whole.size()));
  if (page == static_cast<int64_t>(pages.whole.size())) Append(pages);
}

void PageCache::Copy(int64_t from, int64_t slot, int64_t positions) {
  TANDEM_CHECK(from != slot);
  Clear(pages_[slot]);
  const int64_t needed = (positions + kernels::kPagePositions - 1) / kernels::kPagePositions;
  TANDEM_CHECK(needed <= static_cast<int64_t>(pages_[from].whole.size()));
  for (int64_t page = 0; page < needed; ++page) {
    Append(pages_[slot]);
    std::memcpy(pages_[slot].whole[page], pages_[from].whole[page], layers_ * layer_size_ * sizeof(float));
  }
}

void PageCache::Clear(SlotPages& slot) {
  free_.insert(free_.end(), slot.whole.rbegin(), slot.whole.rend());
  slot.whole.clear();
  for (auto& pages : slot.of_layer) pages.clear();
}

void PageCache::Append(SlotPages& slot) {
  float* page = TakePage();
  slot.whole.push_back(page);
  for (int64_t layer = 0; layer < layers_; ++layer) slot.of_layer[layer].push_back(page + layer * layer_size_);
}

float* PageCache::TakePage() {
  if (free_.empty()) {
    constexpr int64_t kPagesPerBlock = 16;
    blocks_.emplace_back(kPagesPerBlock * layers_ * layer_size_);
    for (int64_t page = kPagesPerBlock; page-- > 0;)
      free_.push_back(blocks_.back().data() + page * layers_ * layer_size_);
  }
  float* page = free_.back();
  free_.pop_back();
  return page;
}

}  // namespace tandem
