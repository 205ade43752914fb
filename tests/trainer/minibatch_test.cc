#include "trainer/minibatch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/trainer/synthetic_batch.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;

class SplitTest : public ::testing::Test {
 protected:
  SplitTest() : batch_(MakeBatch(RandomGroups(kSeed, 11, 12, 5, proto::TRAIN, 3, 3), proto::TRAIN, 3)) {
    unpacked_ = *Unpack(batch_, "planner", SmallShape());
    for (size_t i = 0; i < unpacked_.turns.size(); ++i) {
      values_.push_back(static_cast<float>(i));
      group_.push_back(i % 7 == 0 ? -1 : static_cast<int64_t>(i / 5));
    }
  }

  std::vector<Minibatch> Split(SplitOptions options) { return SplitTurns(unpacked_.turns, values_, group_, options); }

  static constexpr uint64_t kSeed = 4711;
  const TrainingBatch batch_;
  UnpackedBatch unpacked_;
  std::vector<float> values_;
  std::vector<int64_t> group_;
};

TEST_F(SplitTest, EveryChosenTurnIsInOneMinibatchOfOneRankOnce) {
  std::map<int64_t, std::set<std::pair<size_t, uint32_t>>> places;  // turn -> (minibatch, rank)
  std::vector<double> counted(3), summed(3);
  for (uint32_t rank = 0; rank < 2; ++rank) {
    const auto minibatches = Split({.minibatches = 3, .key = 1, .rank = rank, .ranks = 2, .tokens_per_pass = 40});
    ASSERT_EQ(minibatches.size(), 3u);
    for (size_t m = 0; m < 3; ++m) {
      counted[m] = minibatches[m].token_count;
      for (const Pass& pass : minibatches[m].passes) {
        EXPECT_TRUE(pass.sequences.ids.size() <= 40 || pass.sequences.lengths.size() == 1);
        summed[m] += static_cast<double>(pass.turn.size());
        for (const int64_t turn : pass.turn) places[turn].insert({m, rank});
      }
    }
  }
  EXPECT_EQ(counted, summed) << "token_count is over all ranks";
  for (size_t i = 0; i < group_.size(); ++i) {
    EXPECT_EQ(places[static_cast<int64_t>(i)].size(), group_[i] < 0 ? 0u : 1u) << "turn " << i;
  }
}

TEST_F(SplitTest, PerTokenArraysBelongToTheirTargets) {
  for (const Minibatch& minibatch : Split({.minibatches = 2, .key = 1, .tokens_per_pass = 64})) {
    for (const Pass& pass : minibatch.passes) {
      const size_t n = pass.sequences.targets.size();
      ASSERT_EQ(pass.behaviour.size(), n);
      size_t at = 0;
      int32_t start = 0;
      for (size_t s = 0; s < pass.sequences.lengths.size(); ++s) {
        const TrainingTurn& turn = unpacked_.turns[static_cast<size_t>(pass.turn[at])];
        EXPECT_EQ(pass.sequences.lengths[s], turn.length());
        for (size_t i = 0; i < turn.output_ids.size(); ++i, ++at) {
          EXPECT_EQ(pass.sequences.targets[at], start + static_cast<int32_t>(turn.prompt_ids.size() + i));
          EXPECT_EQ(pass.sequences.ids[static_cast<size_t>(pass.sequences.targets[at])], turn.output_ids[i]);
          EXPECT_EQ(pass.behaviour[at], turn.sampled_logprobs[i]);
          EXPECT_EQ(pass.model[at], turn.model_logprobs[i]);
          EXPECT_EQ(pass.ages[at], turn.ages[i]);
          EXPECT_EQ(pass.advantages[at], static_cast<float>(pass.turn[at]));
          EXPECT_EQ(pass.advantage_group[at], pass.turn[at] / 5);
        }
        start += pass.sequences.lengths[s];
      }
      EXPECT_EQ(at, n);
    }
  }
}

TEST_F(SplitTest, TheKeyAloneDecides) {
  const SplitOptions options{.minibatches = 2, .key = 1, .tokens_per_pass = 1000};
  SplitOptions other = options;
  other.key = 2;
  EXPECT_EQ(Split(options)[0].passes[0].turn, Split(options)[0].passes[0].turn);
  EXPECT_NE(Split(options)[0].passes[0].turn, Split(other)[0].passes[0].turn);
}

TEST_F(SplitTest, TokensOutsideOfTheLossMaskAreNoTargets) {
  SyntheticTurn turn{.tokens = Tokens({1, 2, 3}, {4, 5, 6}), .runs = {{0, 3}}};
  turn.tokens.loss_mask = {1, 0, 1};
  const TrainingBatch batch = MakeBatch({{.ticket = 0, .episodes = {{0, {turn}}}}}, proto::TRAIN, 0);
  const UnpackedBatch unpacked = *Unpack(batch, "planner", SmallShape());
  const auto split = SplitTurns(unpacked.turns, std::vector<float>{1}, std::vector<int64_t>{0}, {.tokens_per_pass = 9});
  EXPECT_THAT(split[0].passes[0].sequences.targets, ElementsAre(3, 5));
  EXPECT_EQ(split[0].token_count, 2);
}

TEST_F(SplitTest, MoreMinibatchesThanTurnsLeavesNoEmptyOnes) {
  group_.assign(group_.size(), -1);
  EXPECT_TRUE(Split({.minibatches = 4, .tokens_per_pass = 40}).empty());
  group_[8] = 0;
  EXPECT_EQ(Split({.minibatches = 4, .tokens_per_pass = 40}).size(), 1u);
}

}  // namespace
}  // namespace tandem
