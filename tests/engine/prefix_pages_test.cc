#include "rollout/engine/prefix_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/random.h"

namespace tandem {
namespace {

PageContent ContentOf(uint64_t which) { return {which % 3, {static_cast<int32_t>(which), 7}, {{{1, 0}, 2}}}; }

// Against what a person would write down: a page is never given to two, and is found under what was last said of it
// until it is taken for something else.
TEST(PrefixPagesTest, RandomSchedulesAgreeWithABook) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomStream random(MixKey(55, seed));
    const auto size = static_cast<int64_t>(1 + random.Below(120));
    PrefixPages pages(size);
    std::vector<int32_t> held;             // a page as often as it is held
    std::map<uint64_t, int32_t> page_of;   // content -> page
    std::map<uint64_t, uint64_t> name_of;  // content -> its name
    const auto holders = [&](int32_t page) { return std::count(held.begin(), held.end(), page); };
    const auto distinct = [&] { return static_cast<int64_t>(std::set<int32_t>(held.begin(), held.end()).size()); };
    for (int i = 0; i < 500; ++i) {
      const uint64_t action = random.Below(5), which = random.Below(40);
      if (action == 0) {
        const int64_t before = distinct();
        const int32_t page = pages.Take();
        ASSERT_EQ(page < 0, before == size);
        if (page < 0) continue;
        ASSERT_EQ(holders(page), 0);
        held.push_back(page);
        std::erase_if(page_of, [&](const auto& entry) { return entry.second == page; });
      } else if (action == 1 && !held.empty()) {
        const size_t at = random.Below(held.size());
        pages.Release(held[at]);
        held.erase(held.begin() + static_cast<int64_t>(at));
      } else if (action == 2 && !held.empty()) {
        const int32_t page = held[random.Below(held.size())];
        const uint64_t name = pages.Name(page, ContentOf(which));
        if (page_of.try_emplace(which, page).second) name_of[which] = name;
        ASSERT_EQ(name, name_of[which]);
      } else {
        const auto found = pages.Find(ContentOf(which));
        ASSERT_EQ(found.has_value(), page_of.contains(which));
        if (!found) continue;
        ASSERT_EQ(found->page, page_of[which]);
        ASSERT_EQ(found->name, name_of[which]);
        if (action == 3) {
          pages.Hold(found->page);
          held.push_back(found->page);
        }
      }
      ASSERT_EQ(pages.held(), distinct());
    }
  }
}

TEST(PrefixPagesTest, WhatWasNotUsedForTheLongestTimeIsTakenFirst) {
  PrefixPages pages(3);
  for (uint64_t i = 0; i < 3; ++i) pages.Name(pages.Take(), ContentOf(i));
  for (const uint64_t i : {1, 0, 2}) pages.Release(pages.Find(ContentOf(i))->page);
  const int32_t again = pages.Find(ContentOf(1))->page;
  pages.Hold(again);
  pages.Release(again);
  pages.Take();
  EXPECT_FALSE(pages.Find(ContentOf(0)));
  EXPECT_TRUE(pages.Find(ContentOf(1)));
  EXPECT_TRUE(pages.Find(ContentOf(2)));
}

}  // namespace
}  // namespace tandem
