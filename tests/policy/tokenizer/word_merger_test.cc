#include "policy/tokenizer/word_merger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "policy/tokenizer/word_cache.h"

namespace tandem {
namespace {

using testing::ElementsAre;

// The definition: of all pairs that merge, the leftmost of the lowest rank, again and again.
std::vector<int32_t> MergedPlainly(const std::vector<BpeMerge>& merges, std::vector<int32_t> ids) {
  while (true) {
    size_t best_rank = merges.size(), best = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      for (size_t rank = 0; rank < best_rank; ++rank) {
        if (merges[rank].left == ids[i] && merges[rank].right == ids[i + 1]) {
          best_rank = rank;
          best = i;
        }
      }
    }
    if (best_rank == merges.size()) return ids;
    ids[best] = merges[best_rank].merged;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(WordMergerTest, MergesTheLowestRankFirst) {
  const std::vector<BpeMerge> merges = {{1, 2, 10}, {0, 1, 11}, {10, 3, 12}};
  const MergeTable table(merges);
  WordMerger merger(table);
  const auto merged = [&](std::vector<int32_t> ids) {
    const auto span = merger.Merge(ids);
    return std::vector<int32_t>(span.begin(), span.end());
  };
  EXPECT_THAT(merged({0, 1, 2, 3}), ElementsAre(0, 12));  // 1 2 before 0 1
  EXPECT_THAT(merged({0, 1, 1, 2}), ElementsAre(11, 10));
  EXPECT_THAT(merged({3}), ElementsAre(3));
  EXPECT_THAT(merged({}), ElementsAre());
}

TEST(WordMergerTest, LongWordsAndShortOnesFollowTheDefinition) {
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round) {
    std::vector<BpeMerge> merges;
    for (int32_t next = 3; next < 40; ++next) {
      merges.push_back({static_cast<int32_t>(random() % next), static_cast<int32_t>(random() % next), next});
    }
    for (size_t i = merges.size(); i > 1; --i) std::swap(merges[i - 1], merges[random() % i]);
    // Only one merge of a pair, or the definition above would take the other one.
    for (size_t i = 0; i < merges.size(); ++i) {
      std::erase_if(merges, [&](const BpeMerge& m) {
        return &m > &merges[i] && m.left == merges[i].left && m.right == merges[i].right;
      });
    }
    const MergeTable table(merges);
    WordMerger merger(table);
    for (const size_t size : {2, 3, 10, 127, 128, 129, 300}) {
      std::vector<int32_t> ids(size);
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % 3);
      const auto merged = merger.Merge(ids);
      ASSERT_EQ(std::vector<int32_t>(merged.begin(), merged.end()), MergedPlainly(merges, ids)) << round << " " << size;
    }
  }
}

TEST(MergeTableTest, ThePairsThatAreThereAndNoOthers) {
  std::vector<BpeMerge> merges;
  for (int32_t i = 0; i < 5000; ++i) merges.push_back({i, i * 7 % 5000, i + 1});
  const MergeTable table(merges);
  for (int32_t i = 0; i < 5000; ++i) {
    EXPECT_EQ(table.Find(i, i * 7 % 5000).rank, static_cast<uint32_t>(i));
    EXPECT_EQ(table.Find(i, i * 7 % 5000).merged, i + 1);
    EXPECT_EQ(table.Find(i, (i * 7 + 1) % 5000).rank, MergeTable::kNoRank);
  }
  EXPECT_EQ(MergeTable({}).Find(1, 2).rank, MergeTable::kNoRank);
  const std::vector<BpeMerge> twice = {{1, 2, 3}, {4, 5, 6}, {1, 2, 3}};
  EXPECT_EQ(MergeTable(twice).Find(1, 2).rank, 2u);
}

TEST(WordCacheTest, KnowsWordsByAllTheirBytes) {
  WordCache cache;
  const std::vector<int32_t> ids = {1, 2, 3}, many(10, 4);
  const auto key = [](std::string_view word) { return WordCache::KeyOf(word); };
  cache.Keep(key("abc"), ids);
  EXPECT_THAT(cache.Find(key("abc")), ElementsAre(1, 2, 3));
  EXPECT_TRUE(cache.Find(key("abcd")).empty());
  EXPECT_TRUE(cache.Find(key(std::string_view("abc\0", 4))).empty());
  cache.Keep(key("many"), many);  // more than an entry holds
  EXPECT_TRUE(cache.Find(key("many")).empty());
  const std::string longest(WordCache::kLongestWord, 'x');
  cache.Keep(key(longest), ids);
  EXPECT_THAT(cache.Find(key(longest)), ElementsAre(1, 2, 3));
  // Whatever it forgets, what it gives is right.
  for (int32_t i = 0; i < 100000; ++i) cache.Keep(key(std::to_string(i)), std::vector<int32_t>{i});
  int known = 0;
  for (int32_t i = 0; i < 100000; ++i) {
    const auto found = cache.Find(key(std::to_string(i)));
    if (found.empty()) continue;
    ++known;
    ASSERT_THAT(found, ElementsAre(i));
  }
  EXPECT_GT(known, 10000);
}

}  // namespace
}  // namespace tandem
