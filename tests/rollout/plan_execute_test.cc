#include "rollout/episode/plan_execute.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/rollout/fake_player.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// An episode whose planner writes a given plan, and whose executor gives the right results but where told otherwise.
class PlanExecuteTest : public testing::Test {
 protected:
  PlanExecuteTest()
      : environment_(*MakeEnvironment({}, 0, "")),
        language_(Language::OfCharacters(*CharacterTokenizer::Create(environment_->alphabet()))),
        planner_(language_.get(), [this](const LiveTurn&, Script) { return plan_; }),
        executor_(language_.get(),
                  [this](const LiveTurn& turn, Script script) {
                    const auto said = says_.find(language_->tokenizer().Decode(turn.prompt()));
                    return said == says_.end() ? script(nullptr) : said->second;
                  }),
        setting_{*environment_, clock_, 8} {
    team_.seats.emplace_back(kPlannerRole, "p", language_.get(), &planner_, 40);
    team_.seats.emplace_back(kExecutorRole, "e", language_.get(), &executor_, 4);
    task_.question = "(3+4)*2-5=";
    task_.answer = "9";
  }

  void Play(const std::string& plan) {
    plan_ = plan;
    episode_ = std::make_unique<Episode>(setting_, team_, task_, EpisodeStart{.index = 2, .seed = 9, .measured = true});
    unfinished_ = 1;
    episode_->Play(&PlanExecute, &unfinished_);
  }

  void WritePlan(size_t tokens) {
    while (tokens-- > 0) planner_.Step(0);
  }

  proto::Episode Finish() {
    while (planner_.live() + executor_.live() > 0) {
      planner_.FinishAll();
      executor_.FinishAll();
    }
    EXPECT_EQ(unfinished_, 0);
    proto::Episode episode;
    tokens_.clear();
    episode_->Record(Readable::kYes, &episode, &tokens_);
    return episode;
  }

  static double Value(const google::protobuf::RepeatedPtrField<proto::NamedValue>& values, const std::string& name) {
    for (const proto::NamedValue& value : values) {
      if (value.name() == name) return value.value();
    }
    return -1;
  }

  static std::string FaultOf(const google::protobuf::RepeatedPtrField<proto::Fault>& faults) {
    return faults.empty() ? "" : faults[0].kind();
  }

  VirtualClock clock_;
  std::unique_ptr<Environment> environment_;
  std::unique_ptr<const Language> language_;
  std::string plan_;
  std::map<std::string, std::string> says_;  // prompt -> what the executor says to it
  FakePlayer planner_, executor_;
  Setting setting_;
  Team team_;
  Task task_;
  int unfinished_ = 0;
  std::unique_ptr<Episode> episode_;
  std::vector<TurnTokens> tokens_;
};

TEST_F(PlanExecuteTest, ARightPlanRightlyCarriedOutIsRewarded) {
  Play("A=3+4;B=A*2;C=B-5");
  const proto::Episode episode = Finish();
  EXPECT_EQ(episode.answer(), "9");
  EXPECT_EQ(Value(episode.rewards(), "team"), 1);
  EXPECT_THAT(executor_.begun(), ElementsAre("3+4=", "7*2=", "4-5="));
  EXPECT_THAT(episode.faults(), IsEmpty());
  EXPECT_TRUE(episode.terminated());
  for (const auto& [name, value] : std::map<std::string, double>{{"success", 1},
                                                                 {"plan_valid", 1},
                                                                 {"plan_right", 1},
                                                                 {"steps_executed", 3},
                                                                 {"steps_right", 3},
                                                                 {"tokens.planner", 18},  // 17 characters and the end
                                                                 {"tokens.executor", 6}}) {
    EXPECT_EQ(Value(episode.measures(), name), value) << name;
  }
}

TEST_F(PlanExecuteTest, TheAnswerIsTheLastNodes) {
  Play("A=3+4;B=A*2;C=B-5;D=A-7");
  EXPECT_EQ(Finish().answer(), "0");
}

TEST_F(PlanExecuteTest, NodesStartWhileThePlannerIsStillWriting) {
  Play("A=3+4;B=A*2;C=B-5");
  WritePlan(5);
  EXPECT_THAT(executor_.begun(), IsEmpty());
  WritePlan(1);  // ;
  EXPECT_THAT(executor_.begun(), ElementsAre("3+4="));
  executor_.FinishAll();
  WritePlan(6);
  EXPECT_THAT(executor_.begun(), ElementsAre("3+4=", "7*2="));
  EXPECT_EQ(planner_.live(), 1u);
  EXPECT_EQ(Value(Finish().rewards(), "team"), 1);
}

TEST_F(PlanExecuteTest, NodesWhoseInputsAreThereRunAtTheSameTime) {
  Play("A=3+4;B=1+1;C=A*B;D=C-5;E=A+1");
  planner_.FinishAll();
  EXPECT_THAT(executor_.begun(), ElementsAre("3+4=", "1+1="));
  executor_.Step(1), executor_.Step(1);  // B
  EXPECT_THAT(executor_.begun(), ElementsAre("3+4=", "1+1="));
  executor_.Step(0), executor_.Step(0);  // A
  EXPECT_THAT(executor_.begun(), ElementsAre("3+4=", "1+1=", "7*2=", "7+1="));
  EXPECT_EQ(executor_.live(), 2u);
  EXPECT_EQ(Finish().answer(), "8");
}

TEST_F(PlanExecuteTest, TurnsAreRecordedInOrderWithParentsKeysAndTokens) {
  Play("A=3+4;B=1+1;C=A*B");
  planner_.FinishAll();
  executor_.Step(1), executor_.Step(1);  // B before A
  clock_.Advance(2);
  const proto::Episode episode = Finish();
  ASSERT_EQ(episode.turns_size(), 4);
  const uint64_t executor_key = MixKey(MixKey(9, 2), StableHash("executor"));
  for (int i = 1; i < 4; ++i) {
    EXPECT_EQ(episode.turns(i).role(), "executor");
    EXPECT_EQ(episode.turns(i).policy(), "e");
    EXPECT_EQ(episode.turns(i).node(), static_cast<uint32_t>(i - 1));
    EXPECT_EQ(episode.turns(i).turn(), static_cast<uint32_t>(i));
    EXPECT_EQ(episode.turns(i).random_key(), MixKey(executor_key, i - 1));
  }
  EXPECT_EQ(episode.turns(0).random_key(), MixKey(MixKey(MixKey(9, 2), StableHash("planner")), 0));
  EXPECT_THAT(episode.turns(1).parents(), ElementsAre(0u));
  EXPECT_THAT(episode.turns(3).parents(), ElementsAre(0u, 1u, 2u));
  EXPECT_EQ(episode.turns(1).times().first_token(), 2);
  EXPECT_EQ(episode.turns(2).times().ended(), 0);
  EXPECT_EQ(episode.turns(3).prompt_text(), "7*2=");
  EXPECT_THAT(episode.turns(3).output_pieces(), ElementsAre("4"));
  EXPECT_EQ(episode.turns(3).output_tokens(), 2u);
  EXPECT_EQ(episode.turns(3).version_runs(0).count(), 2u);
  EXPECT_TRUE(episode.turns(3).terminated());
  ASSERT_EQ(tokens_.size(), 4u);
  EXPECT_EQ(language_->tokenizer().Decode(tokens_[3].prompt_ids), "7*2=");
  EXPECT_EQ(tokens_[3].output_ids.back(), CharacterTokenizer::kEnd);
  EXPECT_THAT(tokens_[3].sampled_logprobs, ElementsAre(-0.5f, -0.5f));
  EXPECT_THAT(tokens_[3].model_logprobs, ElementsAre(-0.25f, -0.25f));
  EXPECT_THAT(tokens_[3].loss_mask, ElementsAre(1, 1));
}

TEST_F(PlanExecuteTest, EveryMalformedPlanIsAFaultWithoutReward) {
  const std::map<std::string, std::string> faults = {
      {"A=3+4;B=A*2;C=B", "syntax"},
      {"A=3+4;B=H*2", "unknown_reference"},
      {"A=3+4;B=C*2;C=1+1", "forward_reference"},
      {"A=3+4;A=7*2", "duplicate"},
      {"A=3+4;B=A*2!", "unfinished"},
      {"", "unfinished"},
      {"A=1+1;B=1+1;C=1+1;D=1+1;E=1+1;F=1+1;G=1+1;H=1+1;A=1+1", "too_many_nodes"}};
  for (const auto& [plan, fault] : faults) {
    Play(plan);
    const proto::Episode episode = Finish();
    EXPECT_EQ(FaultOf(episode.faults()), fault) << plan;
    ASSERT_GE(episode.turns_size(), 1);
    EXPECT_EQ(FaultOf(episode.turns(0).faults()), fault) << plan;
    EXPECT_FALSE(episode.turns(0).masked());
    EXPECT_EQ(Value(episode.rewards(), "team"), 0) << plan;
    EXPECT_EQ(Value(episode.measures(), "plan_valid"), 0) << plan;
    EXPECT_EQ(episode.truncated(), plan.ends_with('!')) << plan;
    EXPECT_EQ(episode.turns(0).finish(), plan.ends_with('!') ? proto::LENGTH : proto::STOP);
  }
}

TEST_F(PlanExecuteTest, AMalformedPlanCancelsWhatRunsAndMasksWhatWasDone) {
  Play("A=3+4;B=1+1;C=A*2;+");
  WritePlan(6);
  executor_.FinishAll();  // A is done
  WritePlan(12);
  executor_.Step(0);  // B has said a word, C none
  EXPECT_EQ(executor_.live(), 2u);
  planner_.FinishAll();
  EXPECT_EQ(executor_.live(), 0u);
  EXPECT_EQ(executor_.cancelled(), 2);
  const proto::Episode episode = Finish();
  ASSERT_EQ(episode.turns_size(), 3);  // the planner's, A and B; C is none
  EXPECT_EQ(episode.turns(1).finish(), proto::STOP);
  EXPECT_EQ(episode.turns(2).finish(), proto::CANCELLED);
  EXPECT_EQ(episode.turns(2).output_tokens(), 1u);
  for (int i : {1, 2}) {
    EXPECT_TRUE(episode.turns(i).masked());
    for (uint8_t mask : tokens_[i].loss_mask) EXPECT_EQ(mask, 0);
  }
  for (uint8_t mask : tokens_[0].loss_mask) EXPECT_EQ(mask, 1);
  EXPECT_EQ(Value(episode.measures(), "steps_executed"), 0);
  EXPECT_EQ(Value(episode.measures(), "tokens.executor"), 0);
}

TEST_F(PlanExecuteTest, WhatIsNotAResultIsAFaultOfItsTurnAndEndsInNoReward) {
  for (const std::string said : {"", "12", "+", "A", "7777!", "7!"}) {
    says_ = {{"7*2=", said}};
    Play("A=3+4;B=A*2;C=B-5;D=A+2");  // D does not need B, and is right
    const proto::Episode episode = Finish();
    ASSERT_EQ(episode.turns_size(), 4) << said;  // C cannot be carried out, D can
    EXPECT_EQ(episode.turns(3).node(), 3u);
    EXPECT_EQ(FaultOf(episode.turns(2).faults()), "bad_result") << said;
    EXPECT_EQ(FaultOf(episode.faults()), "bad_result") << said;
    EXPECT_THAT(episode.faults(0).detail(), HasSubstr("node B"));
    EXPECT_FALSE(episode.turns(2).masked());
    EXPECT_EQ(episode.answer(), "9");
    EXPECT_EQ(Value(episode.rewards(), "team"), 0) << said;
    EXPECT_EQ(Value(episode.measures(), "plan_valid"), 1);
    EXPECT_EQ(Value(episode.measures(), "steps_executed"), 3);
    EXPECT_EQ(Value(episode.measures(), "steps_right"), 2);
  }
}

TEST_F(PlanExecuteTest, ARightPlanWronglyCarriedOutIsStillRight) {
  says_ = {{"3+4=", "8"}};
  Play("A=3+4;B=A*2;C=B-5");
  const proto::Episode episode = Finish();
  EXPECT_EQ(episode.answer(), "1");  // 8 * 2 - 5 = 11
  EXPECT_EQ(Value(episode.rewards(), "team"), 0);
  EXPECT_EQ(Value(episode.measures(), "plan_right"), 1);
  EXPECT_EQ(Value(episode.measures(), "steps_right"), 2);
}

TEST_F(PlanExecuteTest, AnUnmaskedTurnIsTheSameInWhateverOrderTokensCome) {
  const uint64_t seed = 21;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  RandomStream random(seed);
  says_ = {{"2*2=", "44"}};
  const std::string plans[] = {"A=3+4;B=1+1;C=A*B;D=C-5;E=A+B;F=E-D", "A=3+4;B=1+1;C=B*2;D=C+A;E=B-1;F=A*E",
                               "A=3+4;B=A*2;C=B-5;(", "A=1+1;B=A*2;C=1+1;D=C*2;E=D+B"};
  for (const std::string& plan : plans) {
    std::string expected;
    for (int i = 0; i < 50; ++i) {
      Play(plan);
      while (planner_.live() + executor_.live() > 0) {
        const size_t pick = random.Below(planner_.live() + executor_.live());
        pick < planner_.live() ? planner_.Step(pick) : executor_.Step(pick - planner_.live());
      }
      proto::Episode episode = Finish();
      for (int t = episode.turns_size(); t-- > 0;) {
        if (episode.turns(t).masked()) episode.mutable_turns()->DeleteSubrange(t, 1);
      }
      if (i == 0) expected = episode.SerializeAsString();
      ASSERT_EQ(episode.SerializeAsString(), expected) << plan << "\n" << episode.DebugString();
    }
  }
}

TEST_F(PlanExecuteTest, AnEpisodeCanBeDroppedAnywhere) {
  const std::string plan = "A=3+4;B=1+1;C=A*B;D=C-5";
  for (size_t tokens = 0; tokens <= plan.size(); ++tokens) {
    Play(plan);
    WritePlan(tokens);
    if (executor_.live() > 0 && tokens % 2 == 0) executor_.Step(0);
    episode_.reset();
    EXPECT_EQ(planner_.live() + executor_.live(), 0u);
    EXPECT_EQ(unfinished_, 1);
  }
}

TEST_F(PlanExecuteTest, AQuestionOutsideOfTheAlphabetIsAnError) {
  task_.question = "3/4=";
  Play("A=3+4");
  EXPECT_EQ(unfinished_, 0);
  EXPECT_THAT(std::string(episode_->status().message()), HasSubstr("asking the planner \"3/4=\""));
}

}  // namespace
}  // namespace tandem
