#include "launch/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "launch/stop_signals.h"
#include "tests/launch/temporary_folder.h"

namespace tandem {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The children are shell scripts.
class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() {
    BlockSignals();
    options_.log_folder = folder_.path();
    options_.tick_s = 0.01;
    options_.say = [this](const std::string& line) { said_.push_back(line); };
  }
  ~SupervisorTest() override {
    while (WaitForSignal(0) != 0) {
    }
    UnblockSignals();
  }

  ChildSpec Child(ChildSpec::Kind kind, const std::string& name, const std::string& script) {
    return {.kind = kind,
            .name = name,
            .executable = "/bin/sh",
            .argv = {"sh", "-c", script},
            .environment = {{"F", folder_.path()}}};
  }
  ChildSpec Exchange(const std::string& script) { return Child(ChildSpec::kExchange, "exchange", script); }
  ChildSpec Trainer(const std::string& script) { return Child(ChildSpec::kTrainer, "trainer-planner-0", script); }
  ChildSpec Worker(const std::string& script) { return Child(ChildSpec::kWorker, "worker-0", script); }

  std::string Contents(const std::string& name) { return ReadFile(folder_.path() + "/" + name).value_or(""); }

  TemporaryFolder folder_;
  SupervisorOptions options_;
  std::vector<std::string> said_;
};

// Waits for a file that another child makes.
const char kAwait[] = "while [ ! -e $F/go ]; do sleep 0.01; done; ";

TEST_F(SupervisorTest, ARunIsFinishedWhenAllEndWell) {
  const auto outcome = Supervise({Exchange("echo from the exchange"), Trainer("exit 0"), Worker("exit 0")}, options_);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*outcome, RunOutcome::kFinished);
  EXPECT_EQ(Contents("exchange.log"), "from the exchange\n");
}

TEST_F(SupervisorTest, AKilledWorkerIsStartedAgainAndTheRunGoesOn) {
  // The first worker kills itself as kill -9 would; the second lets the exchange end.
  const auto outcome = Supervise(
      {Exchange(kAwait), Worker("if [ ! -e $F/once ]; then touch $F/once; kill -9 $$; fi; touch $F/go")}, options_);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*outcome, RunOutcome::kFinished);
  EXPECT_THAT(said_, ElementsAre("worker-0 ended with signal 9 (Killed); started again (1 of at most 5)"));
}

TEST_F(SupervisorTest, AWorkerThatKeepsDyingFailsTheRunWithItsLastWords) {
  options_.restarts = 2;
  const auto outcome =
      Supervise({Exchange("sleep 60"), Worker("echo x >> $F/starts; echo no memory; exit 3")}, options_);
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(outcome.status().message(),
              AllOf(HasSubstr("worker-0 ended with exit status 3 after 2 restarts"), HasSubstr("no memory")));
  EXPECT_EQ(Contents("starts"), "x\nx\nx\n");  // the first start and two more
}

TEST_F(SupervisorTest, AKilledTrainerIsStartedAgainWithItsTeamAndOtherArguments) {
  // Rank 0 is killed while rank 1 sleeps; both come back with what argv_again says.
  ChildSpec ranks[2] = {Trainer("while [ ! -s $F/rank-1.pid ]; do sleep 0.01; done; kill -9 $$"),
                        Child(ChildSpec::kTrainer, "trainer-planner-1", "echo $$ > $F/rank-1.pid; exec sleep 60")};
  for (int rank = 0; rank < 2; ++rank) {
    ranks[rank].team = "planner";
    ranks[rank].argv_again = [rank] {
      return std::vector<std::string>{"sh", "-c", absl::StrCat("echo again >> $F/again-", rank, "; touch $F/go")};
    };
  }
  const auto outcome =
      Supervise({Exchange("while [ ! -e $F/again-0 ] || [ ! -e $F/again-1 ]; do sleep 0.01; done"), ranks[0], ranks[1]},
                options_);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(said_, ElementsAre("trainer-planner-0 ended with signal 9 (Killed); started again (1 of at most 5)"));
  EXPECT_EQ(Contents("again-0"), "again\n");
  EXPECT_EQ(Contents("again-1"), "again\n");
  int pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(Contents("rank-1.pid"), &pid));
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST_F(SupervisorTest, ADeadTrainerFailsTheRunAndNobodyIsLeft) {
  const auto outcome = Supervise(
      {Exchange("echo $$ > $F/exchange.pid; exec sleep 60"),
       Trainer(std::string("while [ ! -s $F/exchange.pid ]; do sleep 0.01; done; ") + "echo the loss is gone; exit 1")},
      options_);
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(outcome.status().message(),
              AllOf(HasSubstr("trainer-planner-0 ended with exit status 1"), HasSubstr("the loss is gone")));
  int pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(Contents("exchange.pid"), &pid));
  EXPECT_EQ(kill(pid, 0), -1);
}

TEST_F(SupervisorTest, AnExchangeThatKeepsDyingFailsTheRun) {
  const auto outcome =
      Supervise({Exchange("kill -SEGV $$"), Trainer("exec sleep 60"), Worker("exec sleep 60")}, options_);
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(outcome.status().message(), HasSubstr("exchange ended with signal 11 (Segmentation fault)"));
}

TEST_F(SupervisorTest, AnInterruptTellsTheExchangeAndWaitsForTheOthers) {
  // The exchange lets the trainer go when it is told to stop; the trainer then "writes its checkpoint", whatever
  // signals it gets meanwhile.
  bool sent = false;
  options_.tick = [&] {
    if (!sent && !Contents("ready").empty() && !Contents("trainer-ready").empty()) sent = kill(getpid(), SIGINT) == 0;
  };
  const auto outcome = Supervise(
      {Exchange("trap 'touch $F/go; exit 0' TERM; echo x > $F/ready; while :; do sleep 0.01; done"),
       Trainer(absl::StrCat("trap '' TERM; echo x > $F/trainer-ready; ", kAwait, "echo written > $F/checkpoint")),
       Worker(kAwait)},
      options_);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*outcome, RunOutcome::kStopped);
  EXPECT_EQ(Contents("checkpoint"), "written\n");
}

TEST_F(SupervisorTest, ASecondInterruptEndsAllAtOnce) {
  int sent = 0;
  options_.tick = [&] {
    if (sent < 2 && !Contents("ready").empty()) sent += kill(getpid(), SIGINT) == 0;
  };
  const auto outcome = Supervise(
      {Exchange("trap '' TERM; echo x > $F/ready; while :; do sleep 0.01; done"), Trainer("trap '' TERM; sleep 60")},
      options_);
  EXPECT_EQ(outcome.status().code(), absl::StatusCode::kCancelled);
}

TEST_F(SupervisorTest, WhoDoesNotStopInTimeIsNamedAndKilled) {
  options_.stop_s = 0.05;
  options_.term_s = 0.05;
  bool sent = false;
  options_.tick = [&] {
    if (!sent && !Contents("ready").empty()) sent = kill(getpid(), SIGTERM) == 0;
  };
  const auto outcome = Supervise(
      {Exchange("exec sleep 60"), Trainer("trap '' TERM; echo x > $F/ready; while :; do sleep 0.01; done")}, options_);
  EXPECT_EQ(outcome.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(outcome.status().message(), HasSubstr("trainer-planner-0 did not stop within 0.05 s"));
  EXPECT_THAT(said_.back(), HasSubstr("trainer-planner-0"));
}

TEST_F(SupervisorTest, WhoDoesNotEndAfterTheExchangeIsNamed) {
  options_.end_s = 0.05;
  const auto outcome = Supervise({Exchange("exit 0"), Trainer("exec sleep 60")}, options_);
  EXPECT_THAT(outcome.status().message(), HasSubstr("trainer-planner-0 did not end within 0.05 s"));
}

TEST_F(SupervisorTest, AWorkerThatDoesNotLeaveDoesNotHoldUpTheEnd) {
  options_.leave_s = 0.05;
  const auto outcome = Supervise({Exchange("exit 0"), Worker("trap '' TERM; while :; do sleep 0.01; done")}, options_);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(*outcome, RunOutcome::kFinished);
}

TEST_F(SupervisorTest, AProgramThatIsNotThereIsSaid) {
  ChildSpec missing = Exchange("");
  missing.executable = "/nowhere/tandem";
  const auto outcome = Supervise({missing}, options_);
  EXPECT_THAT(outcome.status().message(), HasSubstr("/nowhere/tandem: cannot be started: No such file or directory"));
}

TEST_F(SupervisorTest, ChildrenIgnoreTheTerminalsInterrupt) {
  const auto outcome = Supervise({Exchange("kill -INT $$; echo still here")}, options_);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(Contents("exchange.log"), "still here\n");
}

TEST_F(SupervisorTest, ChildrenDieWithTheSupervisor) {
  // A supervisor in a process of its own is killed; its child must be gone soon after. The pipe tells: it reaches its
  // end when the last process that holds it is dead.
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t supervisor = fork();
  if (supervisor == 0) {
    close(pipe_ends[0]);
    (void)Supervise({Exchange("echo up >&" + absl::StrCat(pipe_ends[1]) + "; exec sleep 60")}, options_);
    _exit(0);
  }
  close(pipe_ends[1]);
  char text[3];
  ASSERT_EQ(read(pipe_ends[0], text, 3), 3);  // "up\n": the child runs
  kill(supervisor, SIGKILL);
  EXPECT_EQ(read(pipe_ends[0], text, 1), 0);
  close(pipe_ends[0]);
  waitpid(supervisor, nullptr, 0);
}

}  // namespace
}  // namespace tandem
