#include "proto/group.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/random.h"

namespace tandem {
namespace {

struct Sample {
  proto::Group group;
  std::vector<TurnTokens> tokens;
  std::vector<wire::Frame> frames;
};

// A group with random numbers of episodes, turns and tokens; turns without output and scripted turns occur.
Sample MakeSample(RandomStream& random) {
  Sample sample;
  proto::Group& group = sample.group;
  group.set_format(kGroupFormat);
  group.set_worker("worker-1");
  group.mutable_ticket()->set_id(12);
  group.mutable_ticket()->set_episodes(5);
  const uint64_t episodes = 1 + random.Below(5);
  for (uint64_t e = 0; e < episodes; ++e) {
    proto::Episode* episode = group.add_episodes();
    episode->set_episode(e);
    const uint64_t turns = random.Below(4);
    for (uint64_t t = 0; t < turns; ++t) {
      TurnTokens tokens;
      const uint64_t prompts = random.Below(6), outputs = random.Below(6);
      for (uint64_t i = 0; i < prompts; ++i) tokens.prompt_ids.push_back(random.Below(100));
      for (uint64_t i = 0; i < outputs; ++i) {
        tokens.output_ids.push_back(random.Below(100));
        tokens.sampled_logprobs.push_back(-random.Uniform());
        tokens.model_logprobs.push_back(-random.Uniform());
        tokens.loss_mask.push_back(random.Below(2));
      }
      proto::Turn* turn = episode->add_turns();
      turn->set_turn(t);
      turn->set_prompt_tokens(prompts);
      turn->set_output_tokens(outputs);
      const bool scripted = random.Below(4) == 0;
      turn->set_finish(scripted ? proto::SCRIPTED : proto::STOP);
      for (uint64_t left = scripted ? 0 : outputs, number = 3; left > 0; ++number) {
        proto::VersionRun* run = turn->add_version_runs();
        run->mutable_version()->set_number(number);
        run->set_count(1 + random.Below(left));
        left -= run->count();
      }
      sample.tokens.push_back(std::move(tokens));
    }
  }
  sample.frames = PackFrames(sample.tokens);
  return sample;
}

// Two episodes with one turn each: prompt 2 and output 3 tokens, prompt 1 and output 2.
Sample Fixed() {
  Sample sample;
  sample.group.set_format(kGroupFormat);
  sample.group.set_worker("worker-1");
  sample.group.mutable_ticket()->set_id(12);
  sample.group.mutable_ticket()->set_episodes(2);
  sample.tokens = {{{1, 2}, {3, 4, 5}, {-1, -2, -3}, {-1, -2, -3}, {1, 1, 1}},
                   {{6}, {7, 8}, {-1, -2}, {-1, -2}, {1, 0}}};
  for (uint32_t e = 0; e < 2; ++e) {
    proto::Episode* episode = sample.group.add_episodes();
    episode->set_episode(e);
    proto::Turn* turn = episode->add_turns();
    turn->set_finish(proto::STOP);
    turn->set_prompt_tokens(sample.tokens[e].prompt_ids.size());
    turn->set_output_tokens(sample.tokens[e].output_ids.size());
    proto::VersionRun* run = turn->add_version_runs();
    run->mutable_version()->set_number(4);
    run->set_count(turn->output_tokens());
  }
  sample.frames = PackFrames(sample.tokens);
  return sample;
}

std::string Complaint(const Sample& sample) { return std::string(CheckGroup(sample.group, sample.frames).message()); }

template <typename T>
std::vector<T> ToVector(std::span<const T> view) {
  return {view.begin(), view.end()};
}

TEST(GroupTest, TurnsComeBackAsTheyWerePacked) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    RandomStream random(seed);
    const Sample sample = MakeSample(random);
    ASSERT_EQ(Complaint(sample), "");
    const std::vector<TurnView> views = ViewTurns(sample.group, sample.frames);
    ASSERT_EQ(views.size(), sample.tokens.size());
    size_t i = 0;
    for (const proto::Episode& episode : sample.group.episodes()) {
      for (const proto::Turn& turn : episode.turns()) {
        EXPECT_EQ(views[i].episode, &episode);
        EXPECT_EQ(views[i].turn, &turn);
        EXPECT_EQ(ToVector(views[i].prompt_ids), sample.tokens[i].prompt_ids);
        EXPECT_EQ(ToVector(views[i].output_ids), sample.tokens[i].output_ids);
        EXPECT_EQ(ToVector(views[i].sampled_logprobs), sample.tokens[i].sampled_logprobs);
        EXPECT_EQ(ToVector(views[i].model_logprobs), sample.tokens[i].model_logprobs);
        EXPECT_EQ(ToVector(views[i].loss_mask), sample.tokens[i].loss_mask);
        ++i;
      }
    }
  }
}

TEST(GroupTest, SaysWhatDisagreesInTheHeader) {
  Sample s = Fixed();
  s.group.set_format(2);
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: format 2, expected 1");
  s = Fixed();
  s.group.mutable_episodes(1)->set_episode(0);
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: episode 0 occurs twice");
  s.group.mutable_episodes(1)->set_episode(2);
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: episode index 2 of a ticket for 2");
  s = Fixed();
  proto::Turn* turn = s.group.mutable_episodes(0)->mutable_turns(0);
  turn->mutable_version_runs(0)->set_count(2);
  EXPECT_EQ(Complaint(s),
            "group 12 of worker-1: episode 0, turn 0: version runs add up to 2 tokens, the turn has 3 of output");
  turn->add_version_runs()->mutable_version()->set_number(4);
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: episode 0, turn 0: a version run has no tokens");
  turn->mutable_version_runs(1)->set_count(1);
  EXPECT_EQ(Complaint(s), "");
  turn->mutable_version_runs(1)->mutable_version()->set_number(3);
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: episode 0, turn 0: version runs go back from 0.4 to 0.3");
  turn->set_finish(proto::SCRIPTED);
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: episode 0, turn 0: a scripted turn has version runs");
}

TEST(GroupTest, LyingSizesAreNamed) {
  Sample s = Fixed();
  s.group.mutable_episodes(1)->mutable_turns(0)->set_prompt_tokens(2);
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: frame ids has 32 bytes, the header says 36");  // 4 * (5 + 3 + 1)
  s = Fixed();
  s.frames[kModelLogprobs] = wire::MakeFrame(std::string(18, '\0'));
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: frame model_logprobs has 18 bytes, the header says 20");
  s = Fixed();
  s.frames.pop_back();
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: 3 frames, expected 4");
  s = Fixed();
  for (auto& episode : *s.group.mutable_episodes()) {  // sums that do not fit 32 bits, and would wrap to a small number
    proto::Turn* turn = episode.mutable_turns(0);
    turn->set_prompt_tokens(0x80000000);
    turn->set_output_tokens(0x80000000);
    turn->mutable_version_runs(0)->set_count(0x80000000);
  }
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: frame ids has 32 bytes, the header says 34359738368");
}

TEST(GroupTest, SaysWhichValueCannotBe) {
  Sample s = Fixed();
  s.tokens[0].output_ids[1] = -7;
  s.frames = PackFrames(s.tokens);
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: frame ids holds -7");
  s = Fixed();
  s.tokens[1].sampled_logprobs[0] = std::numeric_limits<float>::quiet_NaN();
  s.frames = PackFrames(s.tokens);
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: frame sampled_logprobs holds nan");
  s = Fixed();
  s.tokens[1].loss_mask[0] = 2;
  s.frames = PackFrames(s.tokens);
  EXPECT_EQ(Complaint(s), "group 12 of worker-1: frame loss_mask holds 2, expected 0 or 1");
}

uint32_t HostileNumber(RandomStream& random) {
  switch (random.Below(4)) {
    case 0:
      return random.Below(8);
    case 1:
      return 0xffffffff - random.Below(4);
    case 2:
      return uint32_t{1} << random.Below(32);
    default:
      return random.Next();
  }
}

void MutateFields(Sample& s, RandomStream& random) {
  if (s.group.episodes().empty()) return;
  proto::Episode* episode = s.group.mutable_episodes(random.Below(s.group.episodes_size()));
  if (episode->turns().empty() || random.Below(8) == 0) return episode->set_episode(HostileNumber(random));
  proto::Turn* turn = episode->mutable_turns(random.Below(episode->turns_size()));
  switch (random.Below(6)) {
    case 0:
      return turn->set_prompt_tokens(HostileNumber(random));
    case 1:
      return turn->set_output_tokens(HostileNumber(random));
    case 2:
      return turn->add_version_runs()->set_count(HostileNumber(random));
    case 3:
      return turn->set_finish(static_cast<proto::FinishReason>(random.Below(7)));
    case 4:
      return turn->clear_version_runs();
    default:
      return s.group.mutable_ticket()->set_episodes(HostileNumber(random));
  }
}

void MutateBytes(Sample& s, RandomStream& random) {
  std::string bytes = s.group.SerializeAsString();
  for (uint64_t i = 0; i < 1 + random.Below(3) && !bytes.empty(); ++i) {
    bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
  }
  proto::Group mutated;
  if (mutated.ParseFromString(bytes)) s.group = std::move(mutated);
}

void MutateFrames(Sample& s, RandomStream& random) {
  const size_t i = random.Below(s.frames.size());
  std::string bytes = *s.frames[i];
  switch (random.Below(4)) {
    case 0:
      bytes.resize(random.Below(bytes.size() + 1));
      break;
    case 1:
      bytes.append(1 + random.Below(9), '\x01');
      break;
    case 2:
      if (!bytes.empty()) bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
      break;
    default:
      std::swap(s.frames[i], s.frames[random.Below(s.frames.size())]);
      return;
  }
  s.frames[i] = wire::MakeFrame(std::move(bytes));
}

// Whatever is accepted can be viewed: the sanitizers see every byte being read.
TEST(GroupTest, HostileGroupsAreRefusedOrConsistent) {
  int accepted = 0, refused = 0;
  for (uint64_t seed = 0; seed < 20'000; ++seed) {
    RandomStream random(seed);
    Sample s = MakeSample(random);
    for (uint64_t i = 0; i < 1 + random.Below(3); ++i) {
      const uint64_t kind = random.Below(3);
      if (kind == 0) MutateFields(s, random);
      if (kind == 1) MutateBytes(s, random);
      if (kind == 2) MutateFrames(s, random);
    }
    if (!CheckGroup(s.group, s.frames).ok()) {
      ++refused;
      continue;
    }
    ++accepted;
    uint64_t ids = 0, masks = 0;
    for (const TurnView& view : ViewTurns(s.group, s.frames)) {
      ASSERT_EQ(view.prompt_ids.size(), view.turn->prompt_tokens()) << "seed " << seed;
      ASSERT_EQ(view.output_ids.size(), view.turn->output_tokens()) << "seed " << seed;
      ids += view.prompt_ids.size() + view.output_ids.size();
      for (int32_t id : view.prompt_ids) ASSERT_GE(id, 0) << "seed " << seed;
      for (int32_t id : view.output_ids) ASSERT_GE(id, 0) << "seed " << seed;
      for (uint8_t mask : view.loss_mask) masks += mask;
    }
    ASSERT_EQ(ids * sizeof(int32_t), s.frames[kIds]->size()) << "seed " << seed;
    ASSERT_LE(masks, s.frames[kLossMask]->size()) << "seed " << seed;
  }
  EXPECT_GT(accepted, 100);  // some mutations do no harm
  EXPECT_GT(refused, 10'000);
}

}  // namespace
}  // namespace tandem
