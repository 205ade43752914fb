#include "trainer/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/trainer/synthetic_batch.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

SyntheticTurn Turn(const std::string& role, uint32_t node, std::vector<std::pair<uint32_t, uint32_t>> runs) {
  uint32_t n = 0;
  for (const auto& run : runs) n += run.second;
  return {.role = role,
          .policy = "planner",
          .node = node,
          .tokens = Tokens({1, 2}, std::vector<int32_t>(n, 3)),
          .runs = runs};
}

std::vector<std::string> Places(const UnpackedBatch& batch) {
  std::vector<std::string> out;
  for (const TrainingTurn& t : batch.turns) {
    out.push_back(std::to_string(t.ticket) + "/" + std::to_string(t.episode) + "/" + t.role + "/" +
                  std::to_string(t.node));
  }
  return out;
}

TEST(UnpackTest, CanonicalOrderWhateverTheOrderOfArrival) {
  // One policy plays both roles; groups and turns come in disorder.
  const SyntheticGroup late{.ticket = 9, .episodes = {{1, {Turn("planner", 0, {{4, 2}})}}}};
  const SyntheticGroup early{
      .ticket = 3,
      .episodes = {{0, {Turn("planner", 0, {{4, 1}}), Turn("executor", 1, {{4, 1}}), Turn("executor", 0, {{4, 1}})}},
                   {1, {Turn("planner", 0, {{4, 1}})}}}};
  const TrainingBatch one = MakeBatch({late, early}, proto::TRAIN, 4),
                      other = MakeBatch({early, late}, proto::TRAIN, 4);
  const auto unpacked = Unpack(one, "planner", SmallShape());
  ASSERT_TRUE(unpacked.ok()) << unpacked.status();
  EXPECT_THAT(Places(*unpacked),
              ElementsAre("3/0/executor/0", "3/0/executor/1", "3/0/planner/0", "3/1/planner/0", "9/0/planner/0"));
  EXPECT_EQ(Places(*unpacked), Places(*Unpack(other, "planner", SmallShape())));
  EXPECT_EQ(unpacked->episodes, 3u);
  EXPECT_DOUBLE_EQ(unpacked->reward_mean, 2. / 3);
}

TEST(UnpackTest, AgesComeFromVersionRunsTokenByToken) {
  const TrainingBatch batch =
      MakeBatch({{.ticket = 1, .episodes = {{1, {Turn("planner", 0, {{2, 1}, {5, 2}, {6, 1}})}}}}}, proto::TRAIN, 6);
  const auto unpacked = Unpack(batch, "planner", SmallShape());
  ASSERT_TRUE(unpacked.ok()) << unpacked.status();
  EXPECT_THAT(unpacked->turns[0].ages, ElementsAre(4, 1, 1, 0));
  EXPECT_TRUE(unpacked->turns[0].mixed);
  EXPECT_TRUE(CheckStaleness(*unpacked, 4).ok());
  const absl::Status stale = CheckStaleness(*unpacked, 3);
  EXPECT_EQ(stale.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(stale.message()),
              HasSubstr("ticket 1, episode 0, planner 0: a token is 4 versions old, the bound is 3"));
}

TEST(UnpackTest, TurnsOfOtherPoliciesAreLeftOutButTheirEpisodesCount) {
  SyntheticTurn foreign = Turn("executor", 0, {{1, 3}});
  foreign.policy = "executor";
  const TrainingBatch batch = MakeBatch({{.ticket = 1, .episodes = {{1, {foreign}}, {0, {}}}}}, proto::TRAIN, 1);
  const auto unpacked = Unpack(batch, "planner", SmallShape());
  ASSERT_TRUE(unpacked.ok()) << unpacked.status();
  EXPECT_TRUE(unpacked->turns.empty());
  EXPECT_EQ(unpacked->episodes, 2u);
  EXPECT_DOUBLE_EQ(unpacked->reward_mean, .5);
}

// Each spoils a batch that is fine, and the error says what was wrong with it.
TEST(UnpackTest, WhatIsWrongIsNamed) {
  const SyntheticGroup good{.ticket = 5, .episodes = {{1, {Turn("planner", 0, {{1, 2}})}}}};
  const auto error = [](const TrainingBatch& batch) {
    return std::string(Unpack(batch, "planner", SmallShape()).status().message());
  };
  EXPECT_EQ(error(MakeBatch({good}, proto::TRAIN, 1)), "");

  EXPECT_THAT(error(MakeBatch({good}, proto::TRAIN, 0)),
              HasSubstr("written by version 1, but the step starts from version 0"));

  SyntheticGroup group = good;
  group.episodes[0].turns[0].tokens.output_ids[1] = 11;
  EXPECT_THAT(error(MakeBatch({group}, proto::TRAIN, 1)),
              HasSubstr("ticket 5, episode 0, planner 0: token 11 is outside"));

  group = good;
  group.episodes[0].turns[0].tokens.prompt_ids.clear();
  EXPECT_THAT(error(MakeBatch({group}, proto::TRAIN, 1)), HasSubstr("has no prompt"));

  group = good;
  group.episodes[0].turns[0].tokens.prompt_ids.assign(31, 1);
  EXPECT_THAT(error(MakeBatch({group}, proto::TRAIN, 1)), HasSubstr("has 33 tokens, the model's context is 32"));

  TrainingBatch batch = MakeBatch({good}, proto::TRAIN, 1);
  batch.header.mutable_groups(0)->mutable_episodes(0)->clear_rewards();
  EXPECT_THAT(error(batch), HasSubstr("has no reward named team"));

  batch = MakeBatch({good}, proto::TRAIN, 1);
  batch.header.mutable_groups(0)->mutable_episodes(0)->mutable_turns(0)->set_output_tokens(3);
  EXPECT_THAT(error(batch), HasSubstr("ticket 5"));

  batch = MakeBatch({good}, proto::TRAIN, 1);
  batch.frames.pop_back();
  EXPECT_THAT(error(batch), HasSubstr("3 frames for 1 groups"));
}

}  // namespace
}  // namespace tandem
