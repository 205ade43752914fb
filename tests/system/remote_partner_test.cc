// Runs whose executor is a remote model: `tandem serve`, as a frozen partner.
#include <gmock/gmock.h>

#include <cstdlib>

#include "base/file.h"
#include "tests/policy/tiny_qwen.h"
#include "tests/system/one_process.h"
#include "tests/system/serving.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

class RemotePartnerTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(WriteTinyQwen(scratch_.path() + "/executor", 2).ok()); }

  std::string Run() const { return scratch_.path() + "/run"; }
  std::string Served() const { return scratch_.path() + "/executor"; }

  // configs/tiny.yaml with a remote executor.
  std::vector<std::string> Train(const std::string& url, const std::string& more = "", int steps = 4) const {
    const std::string config = scratch_.path() + "/remote.yaml";
    const std::string yaml = absl::StrCat(
        "name: remote\nseed: 1\n"
        "policies:\n  planner:\n"
        "    model: {hidden: 32, layers: 1, heads: 2, kv_heads: 2, intermediate: 64, context: 64}\n"
        "    staleness: {bound: 2}\n"
        "roles:\n  executor:\n    remote: {url: \"",
        url, "\", model: tiny", more, "}\n",
        "sft: {steps: 300, episodes_per_step: 16, tasks: 200}\n"
        "train: {steps: ",
        steps,
        ", groups_per_step: 4, group_size: 4, checkpoint_every: 2}\n"
        "rollout: {workers: 1, groups_in_play: 8, max_plan_tokens: 24, max_step_tokens: 4}\n"
        "evaluation: {episodes: 16}\n");
    EXPECT_TRUE(WriteFileAtomically(config, yaml).ok());
    return {"train", config, "--run-dir", Run()};
  }

  const ScratchFolder scratch_;
};

TEST_F(RemotePartnerTest, APlannerLearnsWithAFrozenPartnerAndTheReplayNeedsNoEndpoint) {
  {
    const Serving serving(Served());
    TandemProcess train(Train(serving.url()));
    ASSERT_EQ(train.Wait(), 0) << train.said();
    EXPECT_GT(serving.Metric("requests_total"), 20);
    TandemProcess eval({"eval", Run(), "--episodes", "10"});
    EXPECT_EQ(eval.Wait(), 0) << eval.said();
    EXPECT_THAT(eval.said(), HasSubstr("tiny at http://127.0.0.1:"));
  }
  // Only the planner has steps and checkpoints; the executor's turns are in the episodes, with what was answered.
  for (const auto& step : MetricsOf(Run(), "step")) EXPECT_EQ(step["policy"], "planner");
  EXPECT_FALSE(std::filesystem::exists(Run() + "/checkpoints/executor"));
  EXPECT_THAT(*ReadFile(Run() + "/episodes.jsonl"), HasSubstr("\"remote\":{\"model\":\"tiny\""));
  TandemProcess replay({"replay", Run()});
  EXPECT_EQ(replay.Wait(), 0) << replay.said();
  EXPECT_THAT(replay.said(), HasSubstr("the same, bit for bit"));
  TandemProcess schedule({"replay", Run(), "--schedule-only", "--set", "loss=grpo"});
  EXPECT_EQ(schedule.Wait(), 2);
  EXPECT_THAT(schedule.said(), HasSubstr("roles.executor.remote: --schedule-only would have to ask"));
}

TEST_F(RemotePartnerTest, AnEndpointThatDiesIsNamedAndTheRunEnds) {
  auto serving = std::make_unique<Serving>(Served());
  const std::string url = serving->url();
  TandemProcess train(Train(url, ", retries: 1, timeout_s: 5, give_up_after: 3", /*steps=*/2000));
  while (const auto line = train.NextLine()) {
    if (serving == nullptr || line->find("planner    step") == std::string::npos) continue;
    serving->process().Signal(SIGKILL);
    serving = nullptr;
  }
  EXPECT_EQ(serving, nullptr);
  EXPECT_EQ(train.Wait(), 1) << train.said();
  EXPECT_THAT(
      *ReadFile(Run() + "/logs/worker-0.log"),
      HasSubstr("roles.executor.remote: 3 turns in a row have no answer: " + url + " (model tiny): cannot be "));
}

TEST_F(RemotePartnerTest, AnEndpointThatCannotAnswerIsNamedBeforeTheRunBegins) {
  const auto said = [&](const std::string& url, const std::string& set) {
    std::vector<std::string> words = Train(url);
    words.insert(words.end(), {"--set", "roles.executor.remote." + set});
    TandemProcess train(words);
    EXPECT_EQ(train.Wait(), 2);
    EXPECT_FALSE(std::filesystem::exists(Run()));
    return train.said();
  };
  std::string url;
  {
    const Serving serving(Served());
    url = serving.url();
    EXPECT_THAT(said(url, "model=wrong"),
                HasSubstr("roles.executor.remote: " + url + " (model wrong): status 404: there is no model wrong"));
    EXPECT_THAT(said(url.substr(0, url.size() - 3), "retries=0"),
                HasSubstr("roles.executor.remote: " + url.substr(0, url.size() - 3) + " (model tiny): status 404"));
  }
  EXPECT_THAT(said(url, "retries=1"), HasSubstr("cannot be reached"));
}

TEST_F(RemotePartnerTest, WhatMakesNoSenseIsNamedWithItsPlace) {
  const auto said = [&](const std::string& url, const std::string& more = "") {
    TandemProcess train(Train(url, more));
    EXPECT_EQ(train.Wait(), 2);
    return train.said();
  };
  EXPECT_THAT(said("localhost:8000"), HasSubstr("remote.yaml:9: roles.executor.remote.url: expected http://"));
  EXPECT_THAT(said("http://x/v1", ", api_key_env: TANDEM_NO_SUCH_KEY"),
              HasSubstr("roles.executor.remote.api_key_env: the environment has no TANDEM_NO_SUCH_KEY"));
  EXPECT_THAT(said("http://x/v1", ", temprature: 1"), HasSubstr("temperature"));
  EXPECT_THAT(said("http://x/v1", "}\n    policy: planner\n  planner: {policy: planner"),
              HasSubstr("roles.executor.remote: policy planner plays this role too; expected one of both"));
  std::vector<std::string> words = Train("http://x/v1");
  words.insert(words.end(), {"--set", "clock=virtual"});
  TandemProcess virtual_clock(words);
  EXPECT_EQ(virtual_clock.Wait(), 2);
  EXPECT_THAT(virtual_clock.said(), HasSubstr("a remote model answers in real time"));
}

}  // namespace
}  // namespace tandem
