#include "exchange/gate.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

// B = 2 groups a step.
Gate GateWith(std::initializer_list<int64_t> due) {
  Gate gate(2);
  for (int64_t d : due) gate.Add(d);
  return gate;
}

TEST(GateTest, BoundZeroAdmitsOneBatchAndNothingWhileTheStepIsTaken) {
  EXPECT_TRUE(GateWith({}).Admits(/*next=*/5, /*due=*/5));
  EXPECT_TRUE(GateWith({5}).Admits(5, 5));
  EXPECT_FALSE(GateWith({5, 5}).Admits(5, 5));
  // The batch from 5 is cut; version 5 is still the newest: a group due by 5 could never be consumed.
  EXPECT_FALSE(GateWith({}).Admits(/*next=*/6, /*due=*/5));
}

TEST(GateTest, ABoundOfTwoHasRoomForThreeBatches) {
  // Due by 7, the batches from 5, 6 and 7 hold 2 each: 6 groups.
  EXPECT_TRUE(GateWith({7, 7, 7, 7, 7}).Admits(5, 7));
  EXPECT_FALSE(GateWith({7, 7, 7, 7, 7, 7}).Admits(5, 7));
  // Two of them due by 5 fill the batch from 5: still 6 by 7.
  EXPECT_TRUE(GateWith({5, 5, 7, 7, 7}).Admits(5, 7));
  EXPECT_FALSE(GateWith({5, 5, 7, 7, 7, 7}).Admits(5, 7));
  // One more version of room.
  EXPECT_TRUE(GateWith({7, 7, 7, 7, 7, 7}).Admits(5, 8));
}

TEST(GateTest, AnEarlierGroupCountsAgainstEveryLaterDueVersion) {
  // 5, 6, 6, 6 fit into (5: 2, 6: 2); one more due by 6 does not, one due by 5 does not either.
  EXPECT_FALSE(GateWith({5, 6, 6, 6}).Admits(5, 6));
  EXPECT_FALSE(GateWith({5, 6, 6, 6}).Admits(5, 5));
  EXPECT_TRUE(GateWith({5, 6, 6, 6}).Admits(5, 7));
}

TEST(GateTest, OverfullNamesTheFirstStepThatCannotHoldItsGroups) {
  EXPECT_EQ(GateWith({5, 5, 6, 6}).Overfull(5), std::nullopt);
  EXPECT_EQ(GateWith({5, 5, 5}).Overfull(5), 5);
  EXPECT_EQ(GateWith({5, 6, 6, 6, 6}).Overfull(5), 6);
  EXPECT_EQ(GateWith({4}).Overfull(5), 4);  // overdue
  EXPECT_EQ(GateWith({kNeverDue, kNeverDue, kNeverDue}).Overfull(5), std::nullopt);
}

TEST(GateTest, RemovingMakesRoom) {
  Gate gate = GateWith({5, 5});
  EXPECT_FALSE(gate.Admits(5, 5));
  gate.Remove(5);
  EXPECT_TRUE(gate.Admits(5, 5));
  EXPECT_EQ(gate.DueBy(4), 0u);
  EXPECT_EQ(gate.DueBy(5), 1u);
}

TEST(GateDeathTest, RemovingWhatIsNotThereIsABug) { EXPECT_DEATH(GateWith({5}).Remove(6), "bug"); }

}  // namespace
}  // namespace tandem
