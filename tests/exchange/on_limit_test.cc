// What a policy does with a group that is not here in time, for every value of on_limit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exchange/lane.h"
#include "proto/group.h"
#include "tests/exchange/fixtures.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// One group of one episode a step, bound 1. Three tickets are issued at version 0, so they are due by version 1; ticket
// 2 is the late one.
class OnLimitTest : public ::testing::Test {
 protected:
  void Start(proto::OnLimit on_limit, uint32_t reruns = 1) {
    lane_.emplace(LaneOptions{{"p", /*incarnation=*/0, /*groups_per_step=*/1, /*bound=*/1, on_limit, reruns}, 0, 9});
    lane_->Publish(0);
    Issue(1, 0);
    Issue(2, 0);
    EXPECT_FALSE(lane_->Admits());  // two groups fit into the two batches from versions 0 and 1
  }
  void Issue(uint64_t id, uint32_t rerun) {
    EXPECT_TRUE(lane_->Admits());
    proto::Ticket ticket;
    ticket.set_id(id);
    ticket.set_task(100 + id);
    ticket.set_seed(200 + id);
    ticket.set_episodes(1);
    ticket.set_rerun(rerun);
    lane_->Issue(ticket, /*counted=*/true);
    tickets_[id] = ticket;
  }
  void Arrive(uint64_t id, const std::vector<uint32_t>& versions) {
    auto group = MakeGroup(id, "p", versions);
    *group->header.mutable_ticket() = tickets_[id];
    group->frames.assign(kFramesPerGroup, wire::MakeFrame(std::string(versions.size(), '\1')));
    lane_->Arrive(group);
  }
  // Trains on the next batch; its ticket, or 0 when there is none.
  uint64_t Step() {
    if (!lane_->TryCut({}, 0)) return 0;
    const uint64_t ticket = lane_->batch_groups()[0].group->header.ticket().id();
    proto::Batch batch;
    std::vector<wire::Frame> frames;
    lane_->FillBatch(&batch, &frames);
    mask_ = *frames[kLossMask];
    lane_->Publish(*lane_->version() + 1);
    return ticket;
  }
  std::vector<std::string> Rejections() {
    std::vector<std::string> reasons;
    for (const Rejection& rejection : lane_->TakeRejections()) reasons.push_back(rejection.reason);
    return reasons;
  }
  // Steps from versions 0 and 1 without ticket 2.
  void LeaveTicketTwoBehind() {
    Arrive(1, {0});
    EXPECT_EQ(Step(), 1u);
    Issue(3, 0);
    Arrive(3, {1});
    EXPECT_EQ(Step(), 3u);
    EXPECT_TRUE(lane_->Admits());  // ticket 2 keeps nobody from being admitted
  }

  std::optional<Lane> lane_;
  std::map<uint64_t, proto::Ticket> tickets_;
  std::string mask_;
};

TEST_F(OnLimitTest, PaceWaits) {
  Start(proto::PACE);
  Arrive(1, {0});
  EXPECT_EQ(Step(), 1u);
  Issue(3, 0);
  Arrive(3, {1});
  EXPECT_EQ(Step(), 0u);
  Arrive(2, {0});
  EXPECT_EQ(Step(), 2u);
  EXPECT_THAT(Rejections(), IsEmpty());
}

TEST_F(OnLimitTest, DropGoesOnWithout) {
  Start(proto::DROP);
  LeaveTicketTwoBehind();
  EXPECT_EQ(lane_->ledger().rejected(), 1u);
  EXPECT_THAT(Rejections(), IsEmpty());  // its length and reward are not known yet
  Arrive(2, {0});
  EXPECT_THAT(Rejections(), ElementsAre("dropped"));
  EXPECT_EQ(Step(), 0u);
}

TEST_F(OnLimitTest, MaskTrainsOnTheTokensWithinTheBound) {
  Start(proto::MASK);
  LeaveTicketTwoBehind();
  EXPECT_EQ(lane_->ledger().rejected(), 0u);
  Arrive(2, {0, 0, 1, 2});
  EXPECT_EQ(Step(), 2u);
  EXPECT_EQ(mask_, std::string("\0\0\1\1", 4));
  const auto over = lane_->TakeOverBound();
  ASSERT_EQ(over.size(), 1u);
  EXPECT_EQ(over[0].tokens_over, 2u);
  EXPECT_EQ(over[0].oldest, 0);
}

TEST_F(OnLimitTest, MaskHasNoUseForAGroupWithoutATokenWithinTheBound) {
  Start(proto::MASK);
  LeaveTicketTwoBehind();
  Arrive(2, {0, 0});
  EXPECT_EQ(Step(), 0u);
  EXPECT_THAT(Rejections(), ElementsAre("stale"));
}

TEST_F(OnLimitTest, AcceptTrainsOnItAndCounts) {
  Start(proto::ACCEPT);
  LeaveTicketTwoBehind();
  Arrive(2, {0, 0, 1});
  EXPECT_EQ(Step(), 2u);
  EXPECT_EQ(mask_, std::string(3, '\1'));
  const auto over = lane_->TakeOverBound();
  ASSERT_EQ(over.size(), 1u);
  EXPECT_EQ(over[0].tokens_over, 2u);
}

TEST_F(OnLimitTest, RerunPlaysTheTaskAgainAndThenGivesItUp) {
  Start(proto::RERUN, /*reruns=*/1);
  LeaveTicketTwoBehind();
  ASSERT_TRUE(lane_->rerun().has_value());
  EXPECT_EQ(lane_->rerun()->task, 102u);
  EXPECT_EQ(lane_->rerun()->seed, 202u);
  EXPECT_EQ(lane_->rerun()->times, 1u);
  lane_->TakeRerun();
  Arrive(2, {0});  // the first try, too late: its tokens were generated for nothing
  EXPECT_THAT(Rejections(), ElementsAre("rerun"));
  Issue(4, /*rerun=*/1);
  for (uint64_t ticket : {5, 6}) {
    Issue(ticket, 0);
    Arrive(ticket, {*lane_->version()});
    EXPECT_EQ(Step(), ticket);
  }
  EXPECT_FALSE(lane_->rerun().has_value());
  Arrive(4, {2});
  EXPECT_THAT(Rejections(), ElementsAre("given_up"));
}

}  // namespace
}  // namespace tandem
