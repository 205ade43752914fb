#include "policy/tokenizer/word_merger.h"

#include <algorithm>
#include <functional>

namespace tandem {
namespace {

constexpr size_t kLongWord = 128;  // symbols from which on a heap beats looking at every pair
constexpr uint32_t kNobody = UINT32_MAX;

}  // namespace

std::span<const int32_t> WordMerger::Merge(std::span<const int32_t> ids) {
  ids_.assign(ids.begin(), ids.end());
  if (ids_.size() < 2) return ids_;
  pairs_.resize(ids_.size());
  for (size_t i = 0; i + 1 < ids_.size(); ++i) pairs_[i] = merges_.Find(ids_[i], ids_[i + 1]);
  pairs_.back() = {};
  if (ids_.size() < kLongWord) {
    MergeShort();
  } else {
    MergeLong();
  }
  return ids_;
}

void WordMerger::MergeShort() {
  size_t size = ids_.size();
  while (true) {
    size_t best = 0;
    uint32_t rank = pairs_[0].rank;
    for (size_t i = 1; i + 1 < size; ++i) {
      if (pairs_[i].rank < rank) {
        rank = pairs_[i].rank;
        best = i;
      }
    }
    if (rank == MergeTable::kNoRank) break;
    ids_[best] = pairs_[best].merged;
    std::copy(ids_.begin() + best + 2, ids_.begin() + size, ids_.begin() + best + 1);
    std::copy(pairs_.begin() + best + 2, pairs_.begin() + size, pairs_.begin() + best + 1);
    --size;
    pairs_[best] = best + 1 < size ? merges_.Find(ids_[best], ids_[best + 1]) : MergeTable::Merge{};
    if (best > 0) pairs_[best - 1] = merges_.Find(ids_[best - 1], ids_[best]);
  }
  ids_.resize(size);
}

void WordMerger::MergeLong() {
  const auto size = static_cast<uint32_t>(ids_.size());
  next_.resize(size);
  previous_.resize(size);
  heap_.clear();
  const auto entry = [&](uint32_t at) { return static_cast<uint64_t>(pairs_[at].rank) << 32 | at; };
  for (uint32_t i = 0; i < size; ++i) {
    next_[i] = i + 1 < size ? i + 1 : kNobody;
    previous_[i] = i > 0 ? i - 1 : kNobody;
    if (pairs_[i].rank != MergeTable::kNoRank) heap_.push_back(entry(i));
  }
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  const auto renew = [&](uint32_t at) {
    pairs_[at] = next_[at] == kNobody ? MergeTable::Merge{} : merges_.Find(ids_[at], ids_[next_[at]]);
    if (pairs_[at].rank == MergeTable::kNoRank) return;
    heap_.push_back(entry(at));
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  };
  while (!heap_.empty()) {
    const uint64_t top = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
    const auto at = static_cast<uint32_t>(top);
    if (top != entry(at)) continue;  // the pair is another by now, or gone
    const uint32_t gone = next_[at];
    ids_[at] = pairs_[at].merged;
    ids_[gone] = -1;
    pairs_[gone] = {};
    next_[at] = next_[gone];
    if (next_[gone] != kNobody) previous_[next_[gone]] = at;
    renew(at);
    if (previous_[at] != kNobody) renew(previous_[at]);
  }
  std::erase(ids_, -1);
}

}  // namespace tandem
