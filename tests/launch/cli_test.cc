// What people see on the command line: help, and one line for each thing that can be wrong.
#include "launch/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <zmq.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "launch/config.h"
#include "launch/config_writer.h"
#include "policy/device.h"
#include "tests/launch/run_line.h"
#include "tests/launch/temporary_folder.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// Runs in a folder of its own, where x.yaml is a configuration that is in order.
class CliTest : public ::testing::Test {
 protected:
  CliTest() : before_(fs::current_path()) {
    fs::current_path(folder_.path());
    Write("x.yaml", "policies:\n  planner:\n  executor:\n");
  }
  ~CliTest() override { fs::current_path(before_); }

  static void Write(const std::string& file, const std::string& text) {
    fs::create_directories(fs::absolute(file).parent_path());
    ASSERT_TRUE(WriteFileAtomically(file, text).ok());
  }

  // Bad input: status 2, at most three lines, and no run folder.
  static std::string BadInput(const std::string& line) {
    const Printed outcome = RunLine(line);
    EXPECT_EQ(outcome.status, 2) << line << "\n" << outcome.err;
    EXPECT_THAT(outcome.out, IsEmpty()) << line;
    EXPECT_LE(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 3) << outcome.err;
    EXPECT_FALSE(outcome.err.empty());
    EXPECT_FALSE(fs::exists("runs")) << line;
    EXPECT_FALSE(fs::exists("run")) << line;
    return outcome.err;
  }

  TemporaryFolder folder_;
  fs::path before_;
};

TEST_F(CliTest, HelpTeaches) {
  const Printed outcome = RunLine("--help");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("tandem train configs/quickstart.yaml"), HasSubstr("Exit status"),
                                 HasSubstr("eval RUN"), HasSubstr("tasks [CONFIG]")));
  EXPECT_EQ(RunLine("").out, outcome.out);
  for (const std::string command :
       {"train", "eval", "config", "tasks", "simulate", "version", "exchange", "trainer", "worker"}) {
    const Printed help = RunLine(command + " --help");
    EXPECT_EQ(help.status, 0);
    EXPECT_THAT(help.out, HasSubstr(command)) << command;
    for (const absl::string_view line : absl::StrSplit(help.out, '\n')) {
      EXPECT_LE(line.size(), 125u) << command << ": " << line;
    }
  }
  EXPECT_THAT(RunLine("train --help").out, AllOf(HasSubstr("--set"), HasSubstr("--seed"), HasSubstr("--run-dir"),
                                                 HasSubstr("--resume"), HasSubstr("--in-process")));
  EXPECT_THAT(RunLine("version").out, StartsWith("tandem 0."));
  EXPECT_EQ(RunLine("--version").out, RunLine("version").out);
}

TEST_F(CliTest, TyposAreAnsweredWithWhatWasMeant) {
  EXPECT_THAT(BadInput("trian x.yaml"), HasSubstr("there is no command trian; did you mean train?"));
  EXPECT_THAT(BadInput("train x.yaml --sed 5"), HasSubstr("there is no flag --sed; did you mean --seed?"));
  EXPECT_THAT(BadInput("train --rundir=y x.yaml"), HasSubstr("there is no flag --rundir; did you mean --run-dir?"));
  EXPECT_THAT(BadInput("eval x --jason"), HasSubstr("did you mean --json?"));
  EXPECT_THAT(BadInput("--hlep"), HasSubstr("did you mean --help?"));
  EXPECT_THAT(BadInput("train x.yaml y.yaml"), HasSubstr("one argument too many: y.yaml"));
  EXPECT_THAT(BadInput("train"), HasSubstr("CONFIG is missing"));
  EXPECT_THAT(BadInput("eval"), HasSubstr("RUN is required"));
  EXPECT_THAT(BadInput("eval x --episodes many"), HasSubstr("--episodes"));
  EXPECT_THAT(BadInput("train x.yaml --set"), HasSubstr("--set"));
}

TEST_F(CliTest, BadConfigurationsAreNamedByFileLineAndKey) {
  Write("bad.yaml", "policies:\n  planner:\n    staleness:\n      bund: 3\n  executor:\n");
  EXPECT_EQ(BadInput("train bad.yaml"),
            "bad.yaml:4: policies.planner.staleness.bund: unknown key; did you mean bound?\n");
  EXPECT_EQ(BadInput("config bad.yaml"),
            "bad.yaml:4: policies.planner.staleness.bund: unknown key; did you mean bound?\n");
  EXPECT_EQ(BadInput("train x.yaml --set policies.planner.ranks=0"),
            "--set policies.planner.ranks: expected a whole number from 1 to 64, found 0\n");
  EXPECT_EQ(BadInput("train x.yaml --seed=-1"), "--seed: expected a whole number of at least 0, found -1\n");
  EXPECT_EQ(BadInput("train y.yaml"), "y.yaml: no such file; did you mean x.yaml?\n");
  EXPECT_THAT(BadInput("train x.yaml --set policies.planner.loss.name=pppo"), HasSubstr("there is no loss pppo"));
  EXPECT_THAT(BadInput("tasks --set environment.name=chess"), HasSubstr("there is no environment chess"));
}

TEST_F(CliTest, AnImpossibleSimulationIsSaidInOneLine) {
  EXPECT_THAT(BadInput("simulate"), HasSubstr("CONFIG is missing, or --from RUN"));
  EXPECT_EQ(BadInput("simulate x.yaml --workers 0"), "--workers: expected 1 to 100000, found 0\n");
  EXPECT_EQ(BadInput("simulate x.yaml --bounds 1,x"), "--bounds: expected whole numbers from 0 to 1024, found 1,x\n");
  EXPECT_THAT(BadInput("eval x --episodes -1"),
              HasSubstr("--episodes: expected a whole number from 1 to 10000000, found -1"));
  EXPECT_THAT(BadInput("tasks --count -1"), HasSubstr("--count: expected a whole number from 0"));
  EXPECT_THAT(BadInput("replay x --incarnation -1"), HasSubstr("--incarnation: expected a whole number from 0"));
  EXPECT_EQ(BadInput("simulate x.yaml --bounds 1,"), "--bounds: expected whole numbers from 0 to 1024, found 1,\n");
  EXPECT_THAT(BadInput("simulate x.yaml --cores 4"), HasSubstr("--cores: has no effect without --from"));
  EXPECT_THAT(BadInput("simulate x.yaml --speed planner=2"), HasSubstr("--speed: has no effect without --from"));
  EXPECT_EQ(BadInput("simulate x.yaml --rule cuont"),
            "--rule: there is no rule cuont; expected tandem, count, drop_by_age or windowed_fifo\n");

  EXPECT_THAT(BadInput("simulate x.yaml --from none"), HasSubstr("none: no such run folder"));
  EXPECT_THAT(BadInput("simulate x.yaml --from none --median 2"), HasSubstr("--median: has no effect with --from"));
  Write("made/config.yaml", "policies:\n  planner:\n  executor:\n");
  EXPECT_EQ(BadInput("simulate x.yaml --from made --speed plannner=2"),
            "--speed plannner=2: there is no policy plannner; expected one of workers, executor, planner\n");
  EXPECT_THAT(BadInput("simulate x.yaml --from made --speed planner=0"), HasSubstr("a factor above 0"));
  EXPECT_THAT(BadInput("simulate x.yaml --from made"), HasSubstr("made/metrics.jsonl: no such file"));
  Write("made/metrics.jsonl", "");
  EXPECT_THAT(BadInput("simulate x.yaml --from made"), HasSubstr("made/metrics.jsonl: 0 steps of executor: too few"));
  std::string steps;
  for (int step = 1; step <= 9; ++step) {
    for (const char* policy : {"planner", "executor"}) {
      absl::StrAppend(&steps, "{\"kind\":\"step\",\"time_s\":", step, ",\"policy\":\"", policy, "\",\"step\":", step,
                      ",\"step_s\":1,\"cpu_s\":0.5}\n");
    }
  }
  Write("made/metrics.jsonl", steps);
  EXPECT_THAT(BadInput("simulate x.yaml --from made"), HasSubstr("made/journal/"));
}

TEST_F(CliTest, ASimulationComparesRules) {
  const Printed text = RunLine("simulate x.yaml --set train.steps=20 --workers 8 --bounds 1 --rule count,drop_by_age");
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, AllOf(HasSubstr("bound 1: "), HasSubstr("limited by"), HasSubstr("\n  tandem "),
                              HasSubstr("\n  count "), HasSubstr("\n  drop_by_age ")));
  for (const absl::string_view line : absl::StrSplit(
           RunLine("simulate x.yaml --set train.steps=9 --rule count --json").out, '\n', absl::SkipEmpty())) {
    EXPECT_FALSE(nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false).is_discarded()) << line;
  }
}

TEST_F(CliTest, ABadTaskIsNamedByFileAndLine) {
  Write("mine.jsonl", "{\"question\": \"1+2+3=\", \"answer\": \"6\"}\n{\"question\": \"1+2=\"}\n");
  Write("own.yaml", "environment: {tasks: mine.jsonl}\npolicies: {planner: , executor: }\n");
  EXPECT_THAT(BadInput("train own.yaml"), HasSubstr("mine.jsonl:2: "));
}

TEST_F(CliTest, APortInUseIsNamed) {
  zmq::context_t context;
  zmq::socket_t socket(context, ZMQ_ROUTER);
  socket.bind("tcp://127.0.0.1:*");
  const std::string endpoint = socket.get(zmq::sockopt::last_endpoint);
  EXPECT_THAT(BadInput("train x.yaml --set transport.endpoint=" + endpoint),
              AllOf(HasSubstr(endpoint.substr(0, endpoint.find('\0'))), HasSubstr("Address already in use")));
}

TEST_F(CliTest, AGpuThatIsMissingIsSaid) {
  if (ResolveDevice("cuda").ok()) {
    EXPECT_EQ(RunLine("config x.yaml --set rollout.device=cuda").status, 0);
  } else {
    EXPECT_THAT(BadInput("train x.yaml --set rollout.device=cuda"),
                StartsWith("--set rollout.device: cuda was asked for"));
  }
}

TEST_F(CliTest, RunFoldersAreCheckedBeforeTheyAreTouched) {
  Write("full/file", "x");
  EXPECT_THAT(BadInput("train x.yaml --run-dir full"), HasSubstr("the folder is not empty"));
  EXPECT_THAT(BadInput("train --resume none"), HasSubstr("none: no such run folder"));
  EXPECT_THAT(BadInput("train --resume full"), HasSubstr("it has no config.yaml"));
  EXPECT_THAT(BadInput("train x.yaml --resume full"), HasSubstr("--resume takes the configuration of the run"));
  EXPECT_THAT(BadInput("eval none"), HasSubstr("none: no such run folder"));
  EXPECT_EQ(std::distance(fs::directory_iterator("full"), fs::directory_iterator()), 1);
}

TEST_F(CliTest, ResumingChecksCheckpointsAndShapes) {
  const auto loaded = LoadConfig({.file = "x.yaml", .sets = {}, .seed = {}});
  Write("old/config.yaml", WriteYaml(loaded->config));
  EXPECT_THAT(BadInput("train --resume old"), HasSubstr("old: there is no checkpoint in it"));
  EXPECT_THAT(
      BadInput("train --resume old --set policies.planner.model.hidden=128"),
      StartsWith("--set policies.planner.model.hidden: a resumed run keeps the shape of its models: it was 64"));
  Write("old/checkpoints/planner/0-20/state.json", "{\"format\": 1, ");
  EXPECT_THAT(BadInput("train --resume old"), HasSubstr("checkpoints/planner/0-20/state.json"));
  EXPECT_THAT(BadInput("eval old"), HasSubstr("checkpoints/planner/0-20"));
  EXPECT_THAT(BadInput("eval old --checkpoint planner=7"), HasSubstr("--checkpoint: planner has no 7"));
  EXPECT_THAT(BadInput("eval old --role plannr=oracle"), HasSubstr("there is no role plannr; did you mean planner?"));
  EXPECT_THAT(BadInput("eval old --role planner"), HasSubstr("expected ROLE="));
  EXPECT_THAT(BadInput("eval old --temperature -1"),
              HasSubstr("--temperature: expected a number from 0 (greedy) to 10"));
}

TEST_F(CliTest, ConfigPrintsAConfiguration) {
  const Printed outcome = RunLine("config x.yaml --set train.steps=7");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("  # Steps of each policy. (a whole number of at least 0; default 80)\n  steps: 7\n"),
                    HasSubstr("bound: 4")));
  Write("again.yaml", outcome.out);
  EXPECT_EQ(RunLine("config again.yaml").out, outcome.out);
}

TEST_F(CliTest, TasksAreJsonLines) {
  const Printed outcome = RunLine("tasks --count 5 --split held_out");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const std::vector<std::string> lines = absl::StrSplit(outcome.out, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 5u);
  for (const std::string& line : lines) {
    const auto task = nlohmann::json::parse(line);
    EXPECT_TRUE(task.contains("question") && task.contains("answer") && task.contains("plan")) << line;
  }
  EXPECT_EQ(RunLine("tasks --count 5 --split held_out").out, outcome.out);
  EXPECT_NE(RunLine("tasks --count 5").out, outcome.out);
  EXPECT_EQ(RunLine("tasks --list").out, "dag-calc\nword-problems\n");
  EXPECT_THAT(BadInput("tasks --split heldout"), HasSubstr("did you mean held_out?"));
}

TEST_F(CliTest, SimulateSaysWhatABoundCosts) {
  const std::string sets =
      "simulate x.yaml --set train.steps=40 --set train.groups_per_step=8 --workers 2 --set rollout.groups_in_play=4";
  const Printed text = RunLine(sets + " --bounds 0,4 --step 0.5");
  EXPECT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, AllOf(HasSubstr("bound 0: "), HasSubstr("bound 4: "), HasSubstr("limited by the bound of")));
  const Printed json = RunLine(sets + " --sigma 0 --cap 1 --median 2 --step 1 --bounds 0 --json");
  EXPECT_EQ(json.status, 0) << json.err;
  const auto simulated = nlohmann::json::parse(json.out);
  EXPECT_NEAR(simulated["groups_per_s"].get<double>(), 8 / 3.0, 1e-9);  // 2 s of play and 1 s of training a batch
  EXPECT_NEAR(simulated["limit_groups_per_s"].get<double>(), 8 / 3.0, 1e-9);
  EXPECT_THAT(BadInput("simulate x.yaml --sigma -1"), HasSubstr("--sigma: expected 0 to 10, found -1"));
  EXPECT_THAT(BadInput("simulate x.yaml --bounds 0,x"), HasSubstr("--bounds: expected whole numbers"));
}

TEST_F(CliTest, TheOraclesAreAlwaysRight) {
  const auto loaded = LoadConfig({.file = "x.yaml", .sets = {}, .seed = {}});
  Write("old/config.yaml", WriteYaml(loaded->config));
  const Printed outcome = RunLine("eval old --role planner=oracle --role executor=oracle --episodes 50 --json");
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["success"], 1.0);
  EXPECT_EQ(json["plan_valid"], 1.0);
  EXPECT_EQ(json["plan_right"], 1.0);
  EXPECT_EQ(json["executor_step_accuracy"], 1.0);
  EXPECT_EQ(json["episodes"], 50);
  EXPECT_GT(json["tokens"]["planner"], 0);
  EXPECT_THAT(RunLine("eval old --role planner=oracle --role executor=oracle --episodes 50").out, HasSubstr("100.0 %"));
}

}  // namespace
}  // namespace tandem
