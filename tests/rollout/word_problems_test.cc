#include "rollout/env/word_problems.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "rollout/env/plan_oracle.h"
#include "rollout/plan/plan_reader.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

class WordProblemsTest : public ::testing::Test {
 protected:
  WordProblemsTest() { config_.set_name("word-problems"); }

  std::unique_ptr<Environment> Make() {
    auto environment = MakeEnvironment(config_, 3, Folder());
    EXPECT_TRUE(environment.ok()) << environment.status();
    return environment.ok() ? *std::move(environment) : nullptr;
  }

  static std::string Folder() {
    return testing::TempDir() + "/words_" + testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void WriteTasks(const std::string& text) {
    std::filesystem::create_directories(Folder());
    std::ofstream(Folder() + "/tasks.jsonl") << text;
    config_.set_tasks("tasks.jsonl");
    config_.set_validation_share(0);
    config_.set_heldout_share(0);
  }

  bool IsRight(const Environment& environment, const Task& task, const std::string& text) {
    PlanReader reader(static_cast<int>(config_.max_nodes()),
                      [&](std::string_view step) { return environment.StepIsWellFormed(step); });
    reader.Feed(text);
    reader.End(/*finished=*/true);
    return !reader.faulty() && PlanIsRight(reader.plan(), environment, task);
  }

  proto::EnvironmentConfig config_;
};

TEST_F(WordProblemsTest, QuestionsAreExpressionsInWordsWhosePlansAreRight) {
  const auto environment = Make();
  const Task first = *environment->MakeTask(proto::TRAINING, 0);
  EXPECT_THAT(first.question, testing::MatchesRegex("What is the (sum of|difference between|product of) .* and .*\\?"));
  EXPECT_THAT(environment->PlannerPrompt(first), HasSubstr(first.question));
  for (uint64_t index = 0; index < 300; ++index) {
    const Task task = *environment->MakeTask(proto::TRAINING, index);
    EXPECT_TRUE(IsRight(*environment, task, environment->ScriptedPlan(task, nullptr))) << task.question;
  }
}

TEST_F(WordProblemsTest, ACorruptPlanIsMostlyWrong) {
  const auto environment = Make();
  RandomStream random(4);
  int right = 0;
  for (uint64_t index = 0; index < 300; ++index) {
    const Task task = *environment->MakeTask(proto::TRAINING, index);
    right += IsRight(*environment, task, environment->ScriptedPlan(task, &random));
  }
  EXPECT_LT(right, 60);
}

TEST_F(WordProblemsTest, StepsAreOneOperationOverNumbersAndNames) {
  const auto environment = Make();
  for (const char* step : {"48/2", "A+B", "-3*2", "A--3", "0.5*1,200"}) {
    EXPECT_TRUE(environment->StepIsWellFormed(step)) << step;
  }
  for (const char* step : {"", "48", "48/", "/2", "48/2+1", "AB+1", "forty+2"}) {
    EXPECT_FALSE(environment->StepIsWellFormed(step)) << step;
  }
  EXPECT_EQ(environment->ExecutorPrompt("48/2"), "48/2=");
  EXPECT_EQ(environment->ScriptedStep("48/2", nullptr), "24");
  EXPECT_EQ(environment->ScriptedStep("-3*0.5", nullptr), "-1.5");
  EXPECT_EQ(environment->ScriptedStep("1/0", nullptr), "");
  RandomStream random(5);
  EXPECT_NE(environment->ScriptedStep("48/2", &random), "24");
  EXPECT_TRUE(environment->ResultIsWellFormed("-1.5"));
  EXPECT_FALSE(environment->ResultIsWellFormed("about 3"));
}

// The two lines are of GSM8K's form: calculations in << >>, the answer after ####.
TEST_F(WordProblemsTest, PlansComeFromTheCalculationsOfASolution) {
  WriteTasks(
      R"({"question": "She sold 48 clips in April, and half as many in May. How many in all?", "answer": "In May 48/2 = <<48/2=24>>24.\nIn all 48+24 = <<48+24=72>>72.\n#### 72"}
{"question": "A bolt takes twice (3-1) threads at $1,000 each; what is it?", "answer": "<<2*(3-1)*1000=4000>>4000\n#### 4,000"}
)");
  const auto environment = Make();
  const Task first = *environment->MakeTask(proto::TRAINING, 0), second = *environment->MakeTask(proto::TRAINING, 1);
  EXPECT_EQ(first.answer, "72");
  EXPECT_EQ(*first.plan, "A=48/2;B=48+A");
  EXPECT_EQ(*second.plan, "A=3-1;B=2*A;C=B*1000");
  EXPECT_TRUE(IsRight(*environment, second, *second.plan));
  EXPECT_EQ(environment->Reward(second, "4000.0"), 1);
  EXPECT_EQ(environment->Reward(second, "4001"), 0);
  EXPECT_EQ(environment->Reward(second, ""), 0);
}

TEST_F(WordProblemsTest, WhatHasNoPlanIsLeftOut) {
  WriteTasks(R"({"question": "a", "answer": "#### 3"}
{"question": "b", "answer": "<<1+1=2>> #### 3"}
{"question": "c", "answer": "<<1+2=3>> #### 3"}
{"question": "d", "answer": "5", "plan": "A=2+3"}
)");
  const auto environment = Make();
  EXPECT_EQ(environment->MakeTask(proto::TRAINING, 0)->question, "c");
  EXPECT_EQ(environment->MakeTask(proto::TRAINING, 1)->question, "d");
  EXPECT_EQ(environment->MakeTask(proto::TRAINING, 2)->question, "c");
}

TEST_F(WordProblemsTest, BadTasksNameFileLineAndKey) {
  const auto error = [&](const std::string& text) {
    WriteTasks(text);
    return std::string(MakeEnvironment(config_, 3, Folder()).status().message());
  };
  EXPECT_THAT(error(R"({"question": "a", "answer": "#### many"})"),
              HasSubstr("tasks.jsonl:1: answer: \"many\" is not a number"));
  EXPECT_THAT(error(R"({"question": "a", "answer": "5", "plan": "A=B+1"})"),
              HasSubstr("tasks.jsonl:1: plan: \"A=B+1\" is faulty: unknown_reference"));
  EXPECT_THAT(error(R"({"question": "a", "answer": "5", "plan": "A=1+1"})"),
              HasSubstr("tasks.jsonl:1: plan: \"A=1+1\" does not come to the answer \"5\""));
  EXPECT_THAT(error(R"({"question": "a", "answer": "#### 3"})"),
              HasSubstr("there are no tasks in it but 1 that are left out"));
}

}  // namespace
}  // namespace tandem
