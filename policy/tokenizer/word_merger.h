// Byte-pair encoding of one word: Sennrich et al., "Neural machine translation of rare words with subword units", 2016,
// algorithm 1, on bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "policy/tokenizer/merge_table.h"

namespace tandem {

// Keeps its memory from one word to the next. For one thread; the table must outlive it.
class WordMerger {
 public:
  explicit WordMerger(const MergeTable& merges) : merges_(merges) {}

  // Merges neighbours in `ids` (those of a word's bytes) until none merge: of all pairs the one of the lowest rank
  // first, of equal ones the leftmost. The span is good until the next call. Takes O(n log n) for long words.
  std::span<const int32_t> Merge(std::span<const int32_t> ids);

 private:
  void MergeShort();
  void MergeLong();

  const MergeTable& merges_;
  std::vector<int32_t> ids_;
  std::vector<MergeTable::Merge> pairs_;  // of each symbol and the next one
  // Of long words only: the symbols as a list, and their mergeable pairs as a heap of (rank, place).
  std::vector<uint32_t> next_, previous_;
  std::vector<uint64_t> heap_;
};

}  // namespace tandem
