// What a policy does with a group from whose episodes a partner has moved on, for the values of on_limit.
#include "exchange/partner_drift.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exchange/lane.h"
#include "proto/group.h"
#include "tests/exchange/fixtures.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

proto::PolicyVersion VersionOf(const std::string& policy, uint32_t number) {
  proto::PolicyVersion version;
  version.set_policy(policy);
  version.mutable_version()->set_number(number);
  return version;
}

// Policy p wrote two tokens in each episode, q one, with the version that is given for it.
std::shared_ptr<ArrivedGroup> MakeEpisodes(uint64_t ticket, const std::vector<uint32_t>& versions_of_q) {
  auto group = MakeGroup(ticket, "p", {0, 0});
  const proto::Episode of_p = group->header.episodes(0);
  const proto::Episode of_q = MakeGroup(ticket, "q", {0})->header.episodes(0);
  group->header.clear_episodes();
  for (const uint32_t version : versions_of_q) {
    proto::Episode* episode = group->header.add_episodes();
    *episode = of_p;
    *episode->add_turns() = of_q.turns(0);
    episode->mutable_turns(1)->mutable_version_runs(0)->mutable_version()->set_number(version);
  }
  group->header.mutable_ticket()->set_episodes(versions_of_q.size());
  group->frames.assign(kFramesPerGroup, wire::MakeFrame(std::string(3 * versions_of_q.size(), '\1')));
  return group;
}

TEST(PartnerDriftTest, CountsFromTheOldestVersionThatWroteInTheEpisode) {
  const auto group = MakeEpisodes(1, {4, 6});
  const std::vector<proto::PolicyVersion> now = {VersionOf("p", 5), VersionOf("q", 7)};
  EXPECT_EQ(DriftOf(group->header.episodes(0), "p", 0, now), 3);
  EXPECT_EQ(DriftOf(group->header.episodes(1), "p", 0, now), 1);
  EXPECT_EQ(DriftOf(group->header.episodes(1), "q", 0, now), 5);
  EXPECT_EQ(DriftOf(group->header.episodes(1), "r", 0, now), 0);  // wrote nothing
  const Partners partners = PartnersOf(group->header, "p", 0);
  EXPECT_EQ(partners.at("q").oldest, 4);
  EXPECT_EQ(partners.at("q").newest, 6);
}

// One group of two episodes a step; p is bounded in how far q may have moved on since.
class DriftLaneTest : public ::testing::Test {
 protected:
  void Start(proto::OnLimit on_limit) {
    LaneOptions options{{"p", /*incarnation=*/0, /*groups_per_step=*/1, /*bound=*/9, on_limit}, 0, 9};
    options.batcher.drift_bound = 1;
    lane_.emplace(std::move(options));
    lane_->Publish(0);
  }
  // A group is issued and arrives; whether a batch could be cut once q is at version 5.
  bool CutsWith(const std::vector<uint32_t>& versions_of_q) {
    const auto group = MakeEpisodes(1, versions_of_q);
    lane_->Issue(group->header.ticket(), /*counted=*/true);
    lane_->Arrive(group);
    if (!lane_->TryCut({VersionOf("p", 0), VersionOf("q", 5)}, 0)) return false;
    proto::Batch batch;
    std::vector<wire::Frame> frames;
    lane_->FillBatch(&batch, &frames);
    mask_ = *frames[kLossMask];
    return true;
  }
  std::vector<std::string> Rejections() {
    std::vector<std::string> reasons;
    for (const Rejection& rejection : lane_->TakeRejections()) reasons.push_back(rejection.reason);
    return reasons;
  }

  std::optional<Lane> lane_;
  std::string mask_;
};

TEST_F(DriftLaneTest, WhatIsWithinTheBoundIsTrainedOn) {
  for (const auto on_limit : {proto::PACE, proto::DROP, proto::MASK, proto::RERUN, proto::ACCEPT}) {
    Start(on_limit);
    EXPECT_TRUE(CutsWith({4, 5}));
    EXPECT_THAT(Rejections(), IsEmpty());
    EXPECT_THAT(lane_->TakeOverBound(), IsEmpty());
    EXPECT_EQ(mask_, std::string(6, '\1'));
  }
}

TEST_F(DriftLaneTest, NothingIsTrainedOnThatIsBeyondTheBound) {
  for (const auto on_limit : {proto::PACE, proto::DROP}) {
    Start(on_limit);
    EXPECT_FALSE(CutsWith({3, 5}));
    EXPECT_THAT(Rejections(), ElementsAre("drift"));
  }
}

TEST_F(DriftLaneTest, MaskTrainsOnTheEpisodesWithinTheBound) {
  Start(proto::MASK);
  EXPECT_TRUE(CutsWith({3, 5}));
  EXPECT_EQ(mask_, std::string("\0\0\1\1\1\1", 6));
  const auto over = lane_->TakeOverBound();
  ASSERT_EQ(over.size(), 1u);
  EXPECT_EQ(over[0].tokens_over, 2u);
  Start(proto::MASK);
  EXPECT_FALSE(CutsWith({3, 2})) << "nothing would be left";
  EXPECT_THAT(Rejections(), ElementsAre("drift"));
}

TEST_F(DriftLaneTest, AcceptTrainsOnItAndCounts) {
  Start(proto::ACCEPT);
  EXPECT_TRUE(CutsWith({3, 5}));
  EXPECT_EQ(mask_, std::string(6, '\1'));
  const auto over = lane_->TakeOverBound();
  ASSERT_EQ(over.size(), 1u);
  EXPECT_EQ(over[0].tokens_over, 2u);
}

TEST_F(DriftLaneTest, RerunPlaysTheTaskAgain) {
  Start(proto::RERUN);
  EXPECT_FALSE(CutsWith({3, 5}));
  EXPECT_THAT(Rejections(), ElementsAre("given_up"));  // reruns is 0 here
}

TEST_F(DriftLaneTest, UnderPaceAGroupIsDueEarlierBecauseOfItsPartner) {
  Start(proto::PACE);
  EXPECT_TRUE(lane_->Admits());
  EXPECT_TRUE(lane_->Admits(/*latest=*/0));
  proto::Ticket ticket;
  ticket.set_id(1);
  ticket.set_episodes(1);
  EXPECT_EQ(lane_->Issue(ticket, /*counted=*/true, {}, /*latest=*/0).consume_by(), 0u);
  EXPECT_FALSE(lane_->Admits(/*latest=*/0)) << "one group fits into the one batch that is due then";
  EXPECT_TRUE(lane_->Admits(/*latest=*/1));
  EXPECT_FALSE(lane_->Admits(/*latest=*/-1));
}

}  // namespace
}  // namespace tandem
