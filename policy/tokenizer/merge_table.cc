#include "policy/tokenizer/merge_table.h"

#include <bit>

namespace tandem {

MergeTable::MergeTable(std::span<const BpeMerge> merges) {
  const size_t size = std::bit_ceil(merges.size() * 3 / 2 + 2);  // at most two thirds full
  slots_.resize(size);
  mask_ = size - 1;
  shift_ = 64 - std::countr_zero(size);
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const uint64_t key = Key(merges[rank].left, merges[rank].right);
    size_t at = Home(key);
    while (slots_[at].key != kFree && slots_[at].key != key) at = (at + 1) & mask_;
    slots_[at] = {key, {static_cast<uint32_t>(rank), merges[rank].merged}};
  }
}

}  // namespace tandem
