#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/digest.h"
#include "rollout/env/environment.h"
#include "rollout/env/plan_oracle.h"
#include "rollout/env/split.h"
#include "rollout/plan/plan_reader.h"

namespace tandem {
namespace {

using testing::HasSubstr;

std::unique_ptr<Environment> Make(const proto::EnvironmentConfig& config, uint64_t seed = 3) {
  auto environment = MakeEnvironment(config, seed, "");
  EXPECT_TRUE(environment.ok()) << environment.status();
  return *std::move(environment);
}

PlanReader Read(const Environment& environment, std::string_view plan, int max_nodes = 8) {
  PlanReader reader(max_nodes, [&](std::string_view step) { return environment.StepIsWellFormed(step); });
  reader.Feed(plan);
  reader.End(/*finished=*/true);
  return reader;
}

TEST(DagCalcTest, ATaskIsAFunctionOfSeedSplitAndIndex) {
  const auto a = Make({}), b = Make({}), other_seed = Make({}, 4);
  std::set<std::string> questions;
  int same_as_other_seed = 0;
  for (uint64_t i = 500; i-- > 0;) {
    const Task task = *a->MakeTask(proto::TRAINING, i);
    EXPECT_EQ(task.question, b->MakeTask(proto::TRAINING, i)->question);
    EXPECT_EQ(task.index, i);
    questions.insert(task.question);
    same_as_other_seed += task.question == other_seed->MakeTask(proto::TRAINING, i)->question;
  }
  EXPECT_GT(questions.size(), 450u);
  EXPECT_LT(same_as_other_seed, 10);
}

TEST(DagCalcTest, NoQuestionIsInTwoSplitsWhateverTheSeed) {
  proto::EnvironmentConfig config;
  config.set_min_operations(1);
  config.set_max_operations(2);
  config.set_max_operand(4);  // few questions, so that the same ones come again and again
  std::map<std::string, proto::Split> split_of;
  size_t repeated = 0;
  for (uint64_t seed : {1, 2, 3}) {
    const auto environment = Make(config, seed);
    for (const proto::Split split : {proto::TRAINING, proto::VALIDATION, proto::HELD_OUT}) {
      for (uint64_t i = 0; i < 1000; ++i) {
        const auto task = environment->MakeTask(split, i);
        ASSERT_TRUE(task.ok()) << task.status();
        const auto [found, is_new] = split_of.emplace(task->question, split);
        repeated += !is_new;
        ASSERT_EQ(found->second, split) << task->question << " with seed " << seed;
      }
    }
  }
  EXPECT_GT(repeated, 1000u);
}

TEST(DagCalcTest, SplitsHaveTheConfiguredShares) {
  proto::EnvironmentConfig config;
  config.set_validation_share(0.1);
  config.set_heldout_share(0.3);
  int counts[3] = {};
  for (int i = 0; i < 20000; ++i) ++counts[SplitOf(std::to_string(i), config)];
  EXPECT_NEAR(counts[proto::VALIDATION], 2000, 200);
  EXPECT_NEAR(counts[proto::HELD_OUT], 6000, 300);
  config.set_heldout_share(0);
  EXPECT_THAT(std::string(Make(config)->MakeTask(proto::HELD_OUT, 0).status().message()), HasSubstr("held-out"));
}

TEST(DagCalcTest, QuestionsStayInTheirRangesAndInTheAlphabet) {
  proto::EnvironmentConfig config;
  config.set_min_operations(2);
  config.set_max_operations(5);
  config.set_operators("+*");
  config.set_max_operand(6);
  config.set_modulus(7);
  const auto environment = Make(config);
  const std::string alphabet = environment->alphabet();
  EXPECT_EQ(alphabet.find('-'), std::string::npos);
  EXPECT_EQ(alphabet.find('7'), std::string::npos);
  std::set<size_t> operations;
  for (uint64_t i = 0; i < 1000; ++i) {
    const Task task = *environment->MakeTask(proto::TRAINING, i);
    for (const std::string& text : {task.question, task.answer, *task.plan}) {
      ASSERT_EQ(text.find_first_not_of(alphabet), std::string::npos) << text;
    }
    operations.insert(Read(*environment, *task.plan).plan().nodes.size());
  }
  EXPECT_EQ(operations, (std::set<size_t>{2, 3, 4, 5}));
}

TEST(DagCalcTest, TheScriptedPlanIsRightForEveryTask) {
  proto::EnvironmentConfig config;
  config.set_min_operations(1);
  config.set_max_operations(8);
  config.set_max_operand(7);
  config.set_modulus(8);
  const auto environment = Make(config);
  for (uint64_t i = 0; i < 2000; ++i) {
    const Task task = *environment->MakeTask(proto::HELD_OUT, i);
    const std::string plan = environment->ScriptedPlan(task, nullptr);
    const PlanReader reader = Read(*environment, plan);
    ASSERT_FALSE(reader.faulty()) << plan << " " << reader.detail();
    ASSERT_TRUE(PlanIsRight(reader.plan(), *environment, task)) << task.question << " " << plan;
  }
}

TEST(DagCalcTest, TheExampleOfTheDocumentationHolds) {
  const auto environment = Make({});
  Task task;
  task.question = "(3+4)*2-5=";
  EXPECT_EQ(environment->ScriptedPlan(task, nullptr), "A=3+4;B=A*2;C=B-5");
  EXPECT_EQ(environment->ExecutorPrompt("7*2"), "7*2=");
  EXPECT_EQ(environment->ScriptedStep("7*2", nullptr), "4");
  EXPECT_EQ(environment->ScriptedStep("2-5", nullptr), "7");
}

TEST(DagCalcTest, CorruptPlansDifferAndAreMostlyWellFormedAndMostlyWrong) {
  const auto environment = Make({});
  int faulty = 0, wrong = 0;
  constexpr int kPlans = 2000;
  for (int i = 0; i < kPlans; ++i) {
    const Task task = *environment->MakeTask(proto::TRAINING, i);
    RandomStream random(MixKey(77, i));
    const std::string plan = environment->ScriptedPlan(task, &random);
    ASSERT_NE(plan, *task.plan);
    const PlanReader reader = Read(*environment, plan);
    faulty += reader.faulty();
    wrong += reader.faulty() || !PlanIsRight(reader.plan(), *environment, task);
  }
  EXPECT_GT(faulty, kPlans / 20);
  EXPECT_LT(faulty, kPlans / 4);
  EXPECT_GT(wrong, kPlans * 3 / 4);  // some errors do not show: 0*3 and 0*4
}

TEST(DagCalcTest, ACorruptStepIsAnotherDigit) {
  const auto environment = Make({});
  std::set<std::string> seen;
  for (uint64_t i = 0; i < 500; ++i) {
    RandomStream random(i);
    seen.insert(environment->ScriptedStep("3+4", &random));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"0", "1", "2", "3", "4", "5", "6", "8", "9"}));
}

TEST(DagCalcTest, StepsAndResultsOfTheRightShapeOnly) {
  const auto environment = Make({});
  for (const char* step : {"3+4", "A*2", "9-B", "A+A"}) EXPECT_TRUE(environment->StepIsWellFormed(step)) << step;
  for (const char* step : {"", "3", "3+", "34", "3+4+5", "(3)", "a+3", "3/4", "3=4"}) {
    EXPECT_FALSE(environment->StepIsWellFormed(step)) << step;
  }
  EXPECT_TRUE(environment->ResultIsWellFormed("7"));
  for (const char* result : {"", "12", "+", "A"}) EXPECT_FALSE(environment->ResultIsWellFormed(result)) << result;
  EXPECT_EQ(environment->ScriptedStep("A+3", nullptr), "");
}

TEST(DagCalcTest, ABadConfigurationNamesTheKey) {
  auto message = [](auto change) {
    proto::EnvironmentConfig config;
    change(config);
    return std::string(MakeEnvironment(config, 0, "").status().message());
  };
  EXPECT_THAT(message([](auto& c) { c.set_name("chess"); }), HasSubstr("environment.name: there is no chess"));
  EXPECT_THAT(message([](auto& c) { c.set_operators("+/"); }), HasSubstr("environment.operators"));
  EXPECT_THAT(message([](auto& c) { c.set_min_operations(4); }), HasSubstr("environment.min_operations"));
  EXPECT_THAT(message([](auto& c) { c.set_max_operations(9); }), HasSubstr("environment.max_operations"));
  EXPECT_THAT(message([](auto& c) { c.set_modulus(7); }), HasSubstr("environment.max_operand: 9 is not below"));
  EXPECT_THAT(message([](auto& c) { c.set_tasks("/nowhere.jsonl"); }), HasSubstr("/nowhere.jsonl"));
}

}  // namespace
}  // namespace tandem
