// The key-value cache of all slots, in pages of 16 positions. Pages of short sequences lie close together, however long
// a context the model allows, so that they stay in the processor's caches.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/attention.h"
#include "rollout/engine/aligned_floats.h"

namespace tandem {

class PageCache {
 public:
  PageCache(const kernels::AttentionShape& shape, int64_t layers, int64_t context, int64_t slots);

  int64_t slots() const { return static_cast<int64_t>(pages_.size()); }

  // Makes room for `position` of `slot`; every position before it has been reserved. Position 0 starts the slot afresh.
  void Reserve(int64_t slot, int64_t position);

  // `slot` becomes a copy of the first `positions` positions of `from`. from != slot.
  void Copy(int64_t from, int64_t slot, int64_t positions);

  // The page of a reserved position, and all pages of a slot, of one layer: as the attention kernels want them.
  float* Page(int64_t slot, int64_t layer, int64_t position) {
    return pages_[slot].of_layer[layer][position / kernels::kPagePositions];
  }
  const float* const* Pages(int64_t slot, int64_t layer) const { return pages_[slot].of_layer[layer].data(); }

 private:
  struct SlotPages {
    std::vector<float*> whole;                  // each holds 16 positions of all layers
    std::vector<std::vector<float*>> of_layer;  // [layers] where each layer's part begins
  };
  float* TakePage();
  void Clear(SlotPages& slot);
  void Append(SlotPages& slot);

  const int64_t layer_size_, layers_, pages_per_slot_;
  std::vector<SlotPages> pages_;
  std::vector<float*> free_;  // the one used last is taken first: it is still in the caches
  std::vector<AlignedFloats> blocks_;
};

}  // namespace tandem
