#include "launch/live_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "launch/config.h"
#include "launch/numbers.h"
#include "tests/launch/temporary_folder.h"

namespace tandem {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class LiveViewTest : public ::testing::Test {
 protected:
  LiveViewTest() {
    const std::string file = folder_.path() + "/c.yaml";
    EXPECT_TRUE(
        WriteFileAtomically(file, "policies: {planner: , executor: }\nsft: {steps: 100}\ntrain: {steps: 40}\n").ok());
    config_ = LoadConfig({.file = file, .sets = {}, .seed = std::nullopt})->config;
  }

  std::string metrics() const { return folder_.path() + "/metrics.jsonl"; }
  void Append(const std::string& text) { std::ofstream(metrics(), std::ios::app) << text << std::flush; }

  static std::string Sft(const std::string& policy, int step, double time_s) {
    return absl::StrFormat(R"({"kind":"sft","time_s":%g,"policy":"%s","step":%d,"loss":1.5,"tokens_per_s":20000})",
                           time_s, policy, step) +
           "\n";
  }
  static std::string Step(const std::string& policy, int step, double time_s, double reward) {
    return absl::StrFormat(
               R"({"kind":"step","time_s":%g,"policy":"%s","step":%d,"version":%d,"reward_mean":%g,)"
               R"("tokens_trained":100,"tokens_per_s":12345,"staleness_mean":0.5,"staleness_max":3,"staleness_bound":4})",
               time_s, policy, step, step, reward) +
           "\n";
  }
  static std::string Eval(const std::string& stage, double success, double time_s) {
    return absl::StrFormat(R"({"kind":"eval","time_s":%g,"stage":"%s","success":%g,"episodes":2048})", time_s, stage,
                           success) +
           "\n";
  }

  TemporaryFolder folder_;
  proto::Config config_;
};

TEST_F(LiveViewTest, ALineThatIsStillBeingWrittenIsReadWhenItIsWhole) {
  MetricsTail tail(metrics());
  EXPECT_TRUE(tail.Read().empty());  // not there yet
  Append("{\"a\":1}\n{\"a\"");
  ASSERT_EQ(tail.Read().size(), 1u);
  EXPECT_TRUE(tail.Read().empty());
  Append(":2}\nnot json\n[]\n{\"a\":3}\n");
  const auto rest = tail.Read();
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0]["a"], 2);
  EXPECT_EQ(rest[1]["a"], 3);
}

TEST_F(LiveViewTest, TheStagesFollowTheMetrics) {
  Progress progress(config_);
  const auto add = [&](const std::string& text) { progress.Add(nlohmann::json::parse(text)); };
  EXPECT_EQ(progress.stage(), RunStage::kStarting);
  add(Sft("planner", 100, 1));
  EXPECT_EQ(progress.stage(), RunStage::kWarmStart);
  add(Sft("executor", 99, 1));
  EXPECT_EQ(progress.stage(), RunStage::kWarmStart);
  add(Sft("executor", 100, 2));
  EXPECT_EQ(progress.stage(), RunStage::kFirstEvaluation);
  add(Eval("after_sft", 0.4, 3));
  EXPECT_EQ(progress.stage(), RunStage::kTraining);
  add(Step("planner", 40, 4, 1));
  EXPECT_EQ(progress.stage(), RunStage::kTraining);
  add(Step("executor", 40, 4, 1));
  EXPECT_EQ(progress.stage(), RunStage::kFinalEvaluation);
  add(Eval("final", 0.9, 5));
  EXPECT_EQ(progress.stage(), RunStage::kFinished);
}

TEST_F(LiveViewTest, NothingIsGeneratedByScriptsOrAfterTheEnd) {
  Progress progress(config_);
  const auto says = [&](const std::string& text) {
    progress.Add(nlohmann::json::parse(text));
    const std::vector<std::string> view = RenderView(progress, "run", 9, 100);
    return std::any_of(view.begin(), view.end(), [](const auto& line) { return line.rfind("generating", 0) == 0; });
  };
  says(Sft("planner", 100, 1));
  EXPECT_FALSE(says(R"({"kind": "rollout", "time_s": 1, "worker": "worker-0", "tokens_per_s": 5, "wait_share": 0})"));
  says(Sft("executor", 100, 2));
  EXPECT_TRUE(says(Eval("after_sft", 0.4, 3)));
  says(Step("planner", 40, 4, 1));
  says(Step("executor", 40, 4, 1));
  EXPECT_FALSE(says(Eval("final", 0.9, 5)));
}

TEST_F(LiveViewTest, TheTimeLeftIsThatOfTheSlowestPolicy) {
  Progress progress(config_);
  const auto add = [&](const std::string& text) { progress.Add(nlohmann::json::parse(text)); };
  add(Step("planner", 10, 10, 0.5));
  EXPECT_FALSE(progress.seconds_left());
  add(Step("executor", 10, 10, 0.5));
  add(Step("planner", 20, 20, 0.5));
  add(Step("executor", 20, 15, 0.5));
  // The planner takes 1 s a step and has 20 of 40 steps left; the executor half of that (its time is that of the last
  // line).
  EXPECT_DOUBLE_EQ(*progress.seconds_left(), 20);
}

TEST_F(LiveViewTest, TheRewardIsAMovingAverage) {
  Progress progress(config_);
  for (int step = 1; step <= 12; ++step)
    progress.Add(nlohmann::json::parse(Step("planner", step, step, step <= 2 ? 0 : 1)));
  EXPECT_DOUBLE_EQ(progress.policies()[0].reward(), 1);  // the two zeros are more than 10 steps ago
}

TEST_F(LiveViewTest, TheViewFitsEveryWidth) {
  Progress progress(config_);
  for (const std::string& line :
       {Step("planner", 20, 5, 0.75), Step("executor", 19, 5, 0.5), Eval("after_sft", 0.41, 3)}) {
    progress.Add(nlohmann::json::parse(line));
  }
  progress.Add(nlohmann::json::parse(
      R"({"kind":"rollout","time_s":5,"worker":"worker-0","tokens_per_s":18300,"wait_share":0.03})"));
  progress.Add(nlohmann::json::parse(R"({"kind":"ledger","time_s":5,"policy":"planner","in_flight":12,"buffered":7})"));
  for (int width = 1; width <= 200; ++width) {
    for (const std::string& line : RenderView(progress, "quickstart", 5, width)) {
      EXPECT_LE(static_cast<int>(line.size()), width);
    }
  }
  const std::string wide = absl::StrJoin(RenderView(progress, "quickstart", 5, 120), "\n");
  EXPECT_THAT(wide, AllOf(HasSubstr("quickstart: training"), HasSubstr("[########--------]  20/40"), HasSubstr("0.750"),
                          HasSubstr("0.5, 3 of 4"), HasSubstr("12,345"), HasSubstr("18,300 tokens/s with 1 worker"),
                          HasSubstr("12         7"), HasSubstr("planner   [")));
  const std::string narrow = absl::StrJoin(RenderView(progress, "quickstart", 5, 50), "\n");
  EXPECT_THAT(narrow, AllOf(HasSubstr("20/40"), Not(HasSubstr("buffered"))));
}

TEST_F(LiveViewTest, IntoAFileItPrintsPlainLines) {
  FILE* out = std::fopen((folder_.path() + "/out").c_str(), "w+");
  {
    LiveView view(config_, "quickstart", metrics(), out, /*terminal=*/false);
    for (int step = 1; step <= 100; ++step) Append(Sft("planner", step, step * 0.1));
    view.Tick();
    for (int step = 1; step <= 100; ++step) Append(Sft("executor", step, 10));
    Append(Eval("after_sft", 0.41, 12));
    for (int step = 1; step <= 40; ++step)
      Append(Step("planner", step, 12 + step, 0.8) + Step("executor", step, 12 + step, 0.8));
    Append(Eval("final", 0.93, 60) + R"({"kind":"overlap","time_s":60,"share":0.63})" + "\n");
    view.Say("worker-0 was started again");
    view.Tick();
    view.Finish();
  }
  std::fclose(out);
  const std::string text = *ReadFile(folder_.path() + "/out");
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_THAT(
      text, AllOf(HasSubstr("planner    warm start step 10 of 100: loss 1.500"),
                  HasSubstr("planner    step 40 of 40: reward 0.800, staleness 0.5 (max 3 of 4)"),
                  HasSubstr("evaluation after_sft: success 0.410 over 2,048"), HasSubstr("worker-0 was started again"),
                  HasSubstr("success    0.410 after the warm start -> 0.930 at the end (2,048 held-out episodes)"),
                  HasSubstr("planner 0.50 mean, 3 at most (bound 4)"), HasSubstr("overlapped for 63 %")));
  // 10 lines for each policy and stage, and a few more.
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 60);
}

TEST_F(LiveViewTest, OnATerminalItIsDrawnInPlace) {
  FILE* out = std::fopen((folder_.path() + "/out").c_str(), "w+");
  {
    LiveView view(config_, "quickstart", metrics(), out, /*terminal=*/true);
    view.Tick();
    Append(Sft("planner", 50, 1));
    view.Say("an event");
    view.Finish();
  }
  std::fclose(out);
  const std::string text = *ReadFile(folder_.path() + "/out");
  EXPECT_THAT(text, AllOf(HasSubstr("\x1b[4A\r\x1b[J"
                                    "an event\n"),
                          HasSubstr("50/100")));
}

TEST(NumbersTest, AreWrittenForPeople) {
  EXPECT_EQ(Thousands(0), "0");
  EXPECT_EQ(Thousands(999.6), "1,000");
  EXPECT_EQ(Thousands(1234567), "1,234,567");
  EXPECT_EQ(Thousands(-1234), "-1,234");
  EXPECT_EQ(Duration(7.26), "7.3 s");
  EXPECT_EQ(Duration(59.96), "1 min 0 s");
  EXPECT_EQ(Duration(75), "1 min 15 s");
  EXPECT_EQ(Duration(7300), "2 h 1 min");
}

}  // namespace
}  // namespace tandem
