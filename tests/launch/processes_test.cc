#include "launch/processes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_join.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

RunSetup MakeSetup(const std::vector<std::string>& sets) {
  RunSetup setup;
  setup.loaded = *DefaultConfig({.file = "", .sets = sets, .seed = {}});
  setup.run_folder = "/runs/x";
  setup.endpoint = "ipc:///tmp/e";
  setup.private_folder = "/tmp/p";
  return setup;
}

TEST(ProcessesTest, WorkersTakeTheCoresThatTrainersLeave) {
  const auto count = [](const std::vector<std::string>& sets, int cores) {
    return WorkerCount(MakeSetup(sets).loaded.config, cores);
  };
  EXPECT_EQ(count({}, 1), 1u);
  EXPECT_EQ(count({}, 2), 1u);
  EXPECT_EQ(count({}, 8), 6u);                                                           // two trainers of one thread
  EXPECT_EQ(count({"policies.planner.ranks=2", "policies.executor.threads=3"}, 8), 3u);  // 8 - 2 - 3
  EXPECT_EQ(count({"rollout.workers=5"}, 2), 5u);
  EXPECT_GE(AvailableCores(), 1);
}

TEST(ProcessesTest, EveryRankAndWorkerIsAProcessThatPsShowsByItsJob) {
  RunSetup setup = MakeSetup({"policies.planner.ranks=2", "rollout.workers=2"});
  setup.incarnation = 3;
  setup.clock_offset_s = 12.5;
  setup.resume["planner"] = {.incarnation = 2, .sft = false, .step = 40};
  std::vector<std::string> lines, names;
  for (const ChildSpec& spec : PlanProcesses(setup, "/proc/self/exe")) {
    EXPECT_EQ(spec.executable, "/proc/self/exe");
    EXPECT_EQ(spec.environment.at("OMP_NUM_THREADS"), "1");
    lines.push_back(absl::StrJoin(spec.argv, " "));
    names.push_back(spec.name);
  }
  EXPECT_THAT(names, testing::ElementsAre("exchange", "trainer-planner-0", "trainer-planner-1", "trainer-executor-0",
                                          "worker-0", "worker-1"));
  EXPECT_EQ(lines[0],
            "tandem exchange --run /runs/x --endpoint ipc:///tmp/e --incarnation 3 --clock-offset 12.500"
            " --resume planner=2-40");
  EXPECT_EQ(lines[2],
            "tandem trainer --policy planner --rank 1 --run /runs/x --endpoint ipc:///tmp/e --private /tmp/p"
            " --resume 2-40");
  EXPECT_EQ(lines[3],
            "tandem trainer --policy executor --rank 0 --run /runs/x --endpoint ipc:///tmp/e --private /tmp/p");
  EXPECT_EQ(lines[5], "tandem worker --index 1 --run /runs/x --endpoint ipc:///tmp/e");
}

}  // namespace
}  // namespace tandem
