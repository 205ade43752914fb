// Which two tokens merge into which third, and in what order of preference.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "policy/tokenizer/tokenizer_file.h"

namespace tandem {

// One flat hash table with open addressing: a look-up touches one cache line as a rule. Immutable.
class MergeTable {
 public:
  static constexpr uint32_t kNoRank = UINT32_MAX;
  struct Merge {
    uint32_t rank = kNoRank;  // lower ranks merge first; kNoRank: these two do not merge
    int32_t merged = -1;
  };

  // Of two merges of the same pair the later counts, as in `tokenizers`.
  explicit MergeTable(std::span<const BpeMerge> merges);

  Merge Find(int32_t left, int32_t right) const {
    const uint64_t key = Key(left, right);
    for (size_t at = Home(key);; at = (at + 1) & mask_) {
      const Slot& slot = slots_[at];
      if (slot.key == key) return slot.merge;
      if (slot.key == kFree) return {};
    }
  }

 private:
  static constexpr uint64_t kFree = UINT64_MAX;  // ids are not negative
  struct Slot {
    uint64_t key = kFree;
    Merge merge;
  };
  static uint64_t Key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t Home(uint64_t key) const {
    // Multiplicative hashing is good in the upper bits only (Knuth 6.4); the fold brings the left id into them.
    return static_cast<size_t>(((key ^ key >> 29) * 0x9E3779B97F4A7C15u) >> shift_);
  }

  std::vector<Slot> slots_;
  size_t mask_ = 0;
  int shift_ = 0;
};

}  // namespace tandem
