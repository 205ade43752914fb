// Cores that processes share, and workers that go from round to round on them.
#include "study/simulation/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "study/simulation/virtual_worker.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;

class MachineTest : public ::testing::Test {
 protected:
  void RunAll() {
    while (!events_.empty()) events_.RunNext();
  }
  auto NoteTime() {
    return [this] { ended_s_.push_back(events_.now_s()); };
  }
  Events events_;
  std::vector<double> ended_s_;
};

TEST_F(MachineTest, ThreadsShareTheCoresEquallyAndNoneHasMoreThanOne) {
  Machine machine(&events_, 2);
  machine.Start(1, 1, NoteTime());
  RunAll();
  EXPECT_THAT(ended_s_, ElementsAre(1));  // alone on two cores: not faster than one
  ended_s_.clear();
  // Four threads at half a core each: the first to end has 1 s to go and takes 2 s; then three at 2/3 of a core have
  // 1 s to go on each, which takes 1.5 s; the one with two threads does 4 CPU seconds on them meanwhile.
  machine.Start(1, 1, NoteTime());
  machine.Start(2, 1, NoteTime());
  machine.Start(4, 2, NoteTime());
  RunAll();
  EXPECT_THAT(ended_s_, ElementsAre(3, 4.5, 4.5));
  EXPECT_DOUBLE_EQ(machine.contended_s(), 3.5);
}

TEST_F(MachineTest, WhoStopsLeavesItsShareToTheOthers) {
  Machine machine(&events_, 1);
  machine.Start(3, 1, NoteTime());
  const Machine::Job job = machine.Start(3, 1, NoteTime());
  double left = 0;
  events_.After(2, [&] { left = machine.Stop(job); });
  RunAll();
  EXPECT_DOUBLE_EQ(left, 2);              // of 3, after 2 s at half a core
  EXPECT_THAT(ended_s_, ElementsAre(4));  // 2 s at half a core, 2 s at a whole one
}

class VirtualWorkerTest : public MachineTest {
 protected:
  VirtualWorkerTest() {
    work_.round_cpu_s = 2;
    work_.turn_cpu_s = 1;
  }
  static GroupWork Rounds(double rounds, double turns, double wait_s = 0) {
    return {.legs = {{.rounds = rounds, .wait_s = wait_s}}, .turns = turns};
  }
  Workload work_;
  Machine machine_{&events_, 1};
  VirtualWorker worker_{&events_, &machine_, &work_};
};

TEST_F(VirtualWorkerTest, GroupsComeForwardByTheSameRounds) {
  // Ten rounds of 3 + 5 turns take 10 * (2 + 8) s; the longer group then goes on alone, at 2 + 5 s a round.
  worker_.Play(Rounds(10, 3), NoteTime());
  worker_.Play(Rounds(12, 5), NoteTime());
  RunAll();
  EXPECT_THAT(ended_s_, ElementsAre(100, 114));
}

TEST_F(VirtualWorkerTest, AWaitForToolsCostsNothing) {
  GroupWork work = Rounds(1, 2, 100);  // 4 s, then a wait
  work.legs.push_back({.rounds = 2});  // 8 s
  worker_.Play(work, NoteTime());
  EXPECT_TRUE(worker_.computes());
  RunAll();
  EXPECT_THAT(ended_s_, ElementsAre(112));
}

TEST_F(VirtualWorkerTest, MoreTurnsThanTheEngineDecodesTakeTurns) {
  work_.most_turns = 4;
  worker_.Play(Rounds(3, 8), NoteTime());  // of 8 turns 4 at a time: twice as many rounds, of 2 + 4 s
  RunAll();
  EXPECT_THAT(ended_s_, ElementsAre(36));
}

TEST_F(VirtualWorkerTest, WhoIsCancelledIsNotHeardOfAgain) {
  const uint64_t computes = worker_.Play(Rounds(10, 2), NoteTime());
  const uint64_t waits = worker_.Play({.legs = {{.wait_s = 6}}}, NoteTime());
  worker_.Play(Rounds(10, 1), NoteTime());
  events_.After(5, [&] {  // a round of 2 + 3 s is over
    worker_.Cancel(computes);
    worker_.Cancel(waits);
  });
  RunAll();
  EXPECT_THAT(ended_s_, ElementsAre(5 + 9 * 3));
}

}  // namespace
}  // namespace tandem
