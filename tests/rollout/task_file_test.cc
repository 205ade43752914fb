#include "rollout/env/task_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "rollout/env/split.h"

namespace tandem {
namespace {

using testing::HasSubstr;

class TaskFileTest : public testing::Test {
 protected:
  // One of this test's own.
  static std::string Folder() {
    return testing::TempDir() + "/tasks_" + testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  static std::string Write(const std::string& text) {
    std::filesystem::create_directories(Folder());
    std::ofstream(Folder() + "/tasks.jsonl") << text;
    return "tasks.jsonl";
  }
  absl::StatusOr<std::unique_ptr<Environment>> Read(const std::string& text) {
    config_.set_tasks(Write(text));
    return MakeEnvironment(config_, 0, Folder());
  }

  std::string Error(const std::string& text) { return std::string(Read(text).status().message()); }

  proto::EnvironmentConfig config_;
};

TEST_F(TaskFileTest, ReadsTasksInTheFilesOrderAndStartsAgainAtTheEnd) {
  config_.set_validation_share(0);
  config_.set_heldout_share(0);
  const auto environment = Read(
      "{\"question\": \"3+4=\", \"answer\": \"7\", \"source\": {\"page\": 3}}\n"
      "\n"
      "{\"question\": \"(1+2)*3=\", \"answer\": \"9\", \"plan\": \"H=1+2;A=3*H\"}\r\n");
  ASSERT_TRUE(environment.ok()) << environment.status();
  const Task first = *(*environment)->MakeTask(proto::TRAINING, 0),
             second = *(*environment)->MakeTask(proto::TRAINING, 1);
  EXPECT_EQ(first.question, "3+4=");
  EXPECT_EQ((*environment)->ScriptedPlan(first, nullptr), "A=3+4");
  EXPECT_EQ(second.answer, "9");
  EXPECT_EQ((*environment)->ScriptedPlan(second, nullptr), "H=1+2;A=3*H");
  EXPECT_EQ((*environment)->MakeTask(proto::TRAINING, 5)->question, second.question);
}

TEST_F(TaskFileTest, SplitsByTheHashOfTheQuestion) {
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += "{\"question\": \"" + std::to_string(i / 100) + "+" + std::to_string(i / 10 % 10) + "*" +
            std::to_string(i % 10) + "=\", \"answer\": \"" + std::to_string((i / 100 + i / 10 % 10 * (i % 10)) % 10) +
            "\"}\n";
  }
  const auto environment = Read(text);
  ASSERT_TRUE(environment.ok()) << environment.status();
  for (const proto::Split split : {proto::TRAINING, proto::VALIDATION, proto::HELD_OUT}) {
    for (uint64_t i = 0; i < 100; ++i) {
      EXPECT_EQ(SplitOf((*environment)->MakeTask(split, i)->question, config_), split);
    }
  }
}

TEST_F(TaskFileTest, ErrorsNameFileLineAndKey) {
  const std::string good = "{\"question\": \"3+4=\", \"answer\": \"7\"}\n";
  EXPECT_THAT(Error(good + "{\"question\": \"3+4=\"}"), HasSubstr("tasks.jsonl:2: key answer is missing"));
  EXPECT_THAT(Error(good + "3+4=7"), HasSubstr("tasks.jsonl:2: not a JSON object"));
  EXPECT_THAT(Error("[1, 2]"), HasSubstr("tasks.jsonl:1: not a JSON object"));
  EXPECT_THAT(Error("{\"question\": \"3/4=\", \"answer\": \"7\"}"),
              HasSubstr("tasks.jsonl:1: question: character 2 of \"3/4=\" is not in the alphabet"));
  EXPECT_THAT(Error("{\"question\": \"3+4=\", \"answer\": 7}"), HasSubstr("tasks.jsonl:1: answer: expected text"));
  EXPECT_THAT(Error("{\"question\": \"3+4=\", \"answer\": \"\"}"), HasSubstr("tasks.jsonl:1: answer: expected text"));
  EXPECT_THAT(Error("{\"question\": \"3+=\", \"answer\": \"7\"}"), HasSubstr("tasks.jsonl:1: question"));
  EXPECT_THAT(Error("{\"question\": \"3+4=\", \"answer\": \"7\", \"plan\": \"A=B+4\"}"),
              HasSubstr("tasks.jsonl:1: plan: \"A=B+4\" is faulty: unknown_reference"));
  EXPECT_THAT(Error("{\"question\": \"7+5=\", \"answer\": \"3\"}"),
              HasSubstr("tasks.jsonl:1: plan: \"A=7+5\" does not come to the answer \"3\" (all is modulo 10)"));
  EXPECT_THAT(Error("\n \n"), HasSubstr("tasks.jsonl: there are no tasks"));
}

TEST_F(TaskFileTest, ASplitWithoutQuestionsIsAnError) {
  config_.set_validation_share(0);
  config_.set_heldout_share(0);
  const auto environment = Read("{\"question\": \"3+4=\", \"answer\": \"7\"}\n");
  ASSERT_TRUE(environment.ok());
  const absl::Status status = (*environment)->MakeTask(proto::HELD_OUT, 0).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("tasks.jsonl: no question falls into the held-out split; add "
                                                       "questions, or raise environment.heldout_share"));
}

}  // namespace
}  // namespace tandem
