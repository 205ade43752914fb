#include "exchange/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/group.h"
#include "tests/exchange/fixtures.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Two groups a step, bound 1, and the gate that counts what is outstanding.
class BatcherTest : public ::testing::Test {
 protected:
  void Arrive(uint64_t ticket, std::vector<uint32_t> versions, double arrived_s = 0) {
    gate_.Add(batcher_.Arrive(MakeGroup(ticket, "p", versions, arrived_s)));
  }
  std::vector<uint64_t> Cut(int64_t next) {
    std::vector<uint64_t> tickets;
    const auto cut = batcher_.TryCut(next, gate_);
    if (!cut) return tickets;
    for (const Batcher::Entry& entry : *cut) {
      gate_.Remove(entry.due);
      tickets.push_back(entry.group->header.ticket().id());
    }
    return tickets;
  }

  Batcher batcher_{{"p", /*incarnation=*/0, /*groups_per_step=*/2, /*bound=*/1, proto::PACE}};
  Gate gate_{2};
};

TEST_F(BatcherTest, TakesTheEarliestDeadlineFirst) {
  Arrive(1, {7});
  Arrive(2, {6});
  Arrive(3, {7});
  Arrive(4, {6, 7});  // its oldest token counts
  EXPECT_THAT(Cut(7), ElementsAre(2, 4));
  EXPECT_THAT(Cut(8), ElementsAre(1, 3));
}

TEST_F(BatcherTest, BatchesAreInTheOrderOfTicketsNotOfArrival) {
  Arrive(9, {5}, /*arrived_s=*/1);
  Arrive(4, {5}, /*arrived_s=*/2);
  EXPECT_THAT(Cut(5), ElementsAre(4, 9));
}

TEST_F(BatcherTest, PaceWaitsForAGroupThatIsDue) {
  gate_.Add(5);  // being played, due now
  Arrive(1, {5});
  Arrive(2, {5});
  EXPECT_THAT(Cut(5), IsEmpty());
  gate_.Remove(5);
  Arrive(3, {4});  // here it is
  EXPECT_THAT(Cut(5), ElementsAre(1, 3));
}

TEST_F(BatcherTest, PaceDoesNotWaitForAGroupThatHasTime) {
  gate_.Add(6);
  Arrive(1, {5});
  Arrive(2, {5});
  EXPECT_THAT(Cut(5), ElementsAre(1, 2));
}

TEST_F(BatcherTest, PaceDoesNotWaitForNobody) {
  for (uint64_t ticket : {1, 2, 3}) Arrive(ticket, {4});  // all due by 5, all here: one comes too late
  EXPECT_THAT(Cut(5), ElementsAre(1, 2));
}

TEST_F(BatcherTest, DropDoesNotWait) {
  batcher_ = Batcher({"p", 0, 2, 1, proto::DROP});
  gate_.Add(5);
  Arrive(1, {5});
  Arrive(2, {5});
  Arrive(3, {4});
  EXPECT_THAT(Cut(5), ElementsAre(1, 3));
  EXPECT_THAT(batcher_.TakeOverdue(6), IsEmpty());
  EXPECT_EQ(batcher_.TakeOverdue(7).size(), 1u);  // ticket 2, due by 6
}

TEST_F(BatcherTest, TheConsumptionCheckGoesByTheVersionRuns) {
  Arrive(1, {5, 6});
  Arrive(2, {6});
  EXPECT_THAT(batcher_.TakeStale(6), IsEmpty());  // 6 - 5 = 1 = bound
  const auto stale = batcher_.TakeStale(7);
  ASSERT_EQ(stale.size(), 1u);
  EXPECT_EQ(stale[0].group->header.ticket().id(), 1u);
}

TEST_F(BatcherTest, AVersionOfAnotherIncarnationIsStale) {
  auto group = MakeGroup(1, "p", {0});
  group->header.mutable_episodes(0)->mutable_turns(0)->mutable_version_runs(0)->mutable_version()->set_incarnation(3);
  batcher_.Arrive(group);
  EXPECT_EQ(batcher_.TakeStale(1).size(), 1u);
}

TEST_F(BatcherTest, AGroupWithoutATokenOfThePolicyIsNeverDueAndStillConsumed) {
  EXPECT_EQ(batcher_.Arrive(MakeGroup(1, "other", {0})), kNeverDue);
  gate_.Add(kNeverDue);
  Arrive(2, {90});
  EXPECT_THAT(batcher_.TakeStale(90), IsEmpty());
  EXPECT_THAT(Cut(90), ElementsAre(1, 2));
}

TEST(FillBatchTest, SaysWhatTheVersionsWereAndHowLongGroupsWaited) {
  auto group = MakeGroup(1, "p", {5}, /*arrived_s=*/2);
  group->frames.push_back(wire::MakeFrame("x"));
  proto::PolicyVersion version;
  version.set_policy("p");
  proto::Batch batch;
  std::vector<wire::Frame> frames;
  FillBatch({{6, WrittenBy{5, 5}, group}}, {version}, /*now=*/5, /*incarnation=*/0, /*beyond=*/{}, &batch, &frames);
  EXPECT_EQ(batch.groups(0).at_batch_size(), 1);
  EXPECT_EQ(batch.groups(0).queued_s(), 3);
  EXPECT_EQ(frames.size(), 1u);
  EXPECT_EQ(group->header.at_batch_size(), 0);  // other policies cut theirs at another time
}

// Versions 3 4 4 5 of "p", one turn of "other" before it.
std::shared_ptr<ArrivedGroup> GroupWithMask(const std::string& mask) {
  auto group = MakeGroup(1, "p", {3, 4, 4, 5});
  proto::Episode* episode = group->header.mutable_episodes(0);
  *episode->add_turns() = episode->turns(0);
  episode->mutable_turns(0)->set_policy("other");
  group->frames.assign(kFramesPerGroup, wire::MakeFrame("unchanged"));
  group->frames[kLossMask] = wire::MakeFrame(mask);
  return group;
}

TEST(FillBatchTest, MasksTheTokensOfThePolicyThatAreTooOld) {
  const std::string ones(8, '\1');
  const auto group = GroupWithMask(ones);
  proto::Batch batch;
  batch.set_policy("p");
  std::vector<wire::Frame> frames;
  FillBatch({{7, WrittenBy{3, 5}, group}}, {}, /*now=*/0, /*incarnation=*/0, {.before = 5}, &batch, &frames);
  ASSERT_EQ(frames.size(), kFramesPerGroup);
  EXPECT_EQ(*frames[kLossMask], std::string("\1\1\1\1\0\0\0\1", 8));
  EXPECT_EQ(*frames[kIds], "unchanged");
  EXPECT_EQ(*group->frames[kLossMask], ones);  // other policies train on the same group
}

TEST(FillBatchTest, WhatWasMaskedStaysSo) {
  const auto group = GroupWithMask(std::string(8, '\0'));
  EXPECT_EQ(*MaskBeyond(*group, "p", 0, {.before = 4}, {})[kLossMask], std::string(8, '\0'));
}

TEST(ArrivedGroupTest, CountsTheTokensBeforeAVersion) {
  const auto group = MakeGroup(1, "p", {3, 4, 4, 5});
  EXPECT_EQ(TokensBeyond(group->header, "p", 0, {.before = 3}, {}), 0u);
  EXPECT_EQ(TokensBeyond(group->header, "p", 0, {.before = 5}, {}), 3u);
  EXPECT_EQ(TokensBeyond(group->header, "p", /*incarnation=*/1, {.before = 0}, {}),
            4u);  // of another incarnation: all are older
  EXPECT_EQ(TokensBeyond(group->header, "other", 0, {.before = 5}, {}), 0u);
}

TEST_F(BatcherTest, MaskTakesOutOnlyWhatHasNoTokenWithinTheBound) {
  batcher_ = Batcher({"p", 0, 2, 1, proto::MASK});
  Arrive(1, {4, 5});
  Arrive(2, {3, 6});
  const auto stale = batcher_.TakeStale(7);
  ASSERT_EQ(stale.size(), 1u);
  EXPECT_EQ(stale[0].group->header.ticket().id(), 1u);
}

TEST_F(BatcherTest, AcceptTakesOutNothing) {
  batcher_ = Batcher({"p", 0, 2, 1, proto::ACCEPT});
  Arrive(1, {0});
  Arrive(2, {1});
  EXPECT_THAT(batcher_.TakeStale(90), IsEmpty());
  EXPECT_THAT(Cut(90), ElementsAre(1, 2));
}

}  // namespace
}  // namespace tandem
