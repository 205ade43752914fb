#include "proto/wire/call_set.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"

namespace tandem::wire {
namespace {

TEST(CallSetTest, IsTheSetOfWhatWasInserted) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    RandomStream random(seed);
    CallSet calls;
    std::set<uint64_t> reference;
    for (int i = 0; i < 40; ++i) {
      const uint64_t from = 1 + random.Below(60), to = from + random.Below(5);
      calls.Insert(from, to);
      for (uint64_t call = from; call < to; ++call) reference.insert(call);
    }
    uint64_t below = 1;
    while (reference.count(below) > 0) ++below;
    EXPECT_EQ(calls.below(), below);
    uint64_t last_end = 0;
    for (const auto& [from, to] : calls.ranges()) {
      EXPECT_LT(from, to);
      EXPECT_GT(from, last_end);  // disjoint and not adjacent
      last_end = to;
    }
    for (uint64_t call = 0; call < 70; ++call) EXPECT_EQ(calls.Contains(call), reference.count(call) > 0) << call;
    proto::Header header;
    WriteDone(calls, &header);
    CallSet copy;
    ASSERT_TRUE(ReadDone(header, &copy).ok());
    EXPECT_EQ(copy.ranges(), calls.ranges());
  }
}

TEST(CallSetTest, RefusesWhatIsNotMadeOfRanges) {
  CallSet calls;
  proto::Header header;
  header.add_also_done(4);
  EXPECT_FALSE(ReadDone(header, &calls).ok());
  header.add_also_done(4);
  EXPECT_FALSE(ReadDone(header, &calls).ok());
  header.set_also_done(1, ~uint64_t{0});
  EXPECT_TRUE(ReadDone(header, &calls).ok());
  EXPECT_TRUE(calls.Contains(1'000'000));
  EXPECT_FALSE(calls.Contains(3));
}

}  // namespace
}  // namespace tandem::wire
