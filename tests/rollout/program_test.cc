#include "rollout/episode/program.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rollout/episode/later.h"

namespace tandem {
namespace {

Program<int> Add(Later<int>& left, Later<int>& right) {
  const int a = co_await left.Wait();
  const int b = co_await right.Wait();
  co_return a + b;
}

Program<void> Tell(Later<int>& left, Later<int>& right, std::vector<std::string>& said) {
  said.push_back("begun");
  Program<int> sum = Add(left, right);
  const int value = co_await sum;
  said.push_back(std::to_string(value));
}

TEST(ProgramTest, StartsLazilyAndGoesOnInsideOfWhatItWaitedFor) {
  Later<int> left, right;
  std::vector<std::string> said;
  Program<void> program = Tell(left, right, said);
  EXPECT_TRUE(said.empty());
  program.Start();
  EXPECT_EQ(said, std::vector<std::string>{"begun"});
  left.Set(3);
  EXPECT_FALSE(program.done());
  right.Set(4);
  EXPECT_TRUE(program.done());
  EXPECT_EQ(said, (std::vector<std::string>{"begun", "7"}));
}

TEST(ProgramTest, WhatIsThereAlreadyIsNotWaitedFor) {
  Later<int> left, right;
  left.Set(1);
  right.Set(2);
  std::vector<std::string> said;
  Program<void> program = Tell(left, right, said);
  program.Start();
  EXPECT_TRUE(program.done());
  EXPECT_EQ(said.back(), "3");
}

TEST(ProgramTest, AProgramThatWasStartedCanBeWaitedForLater) {
  Later<int> left, right, go;
  Program<int> sum = Add(left, right);
  sum.Start();
  left.Set(1);
  right.Set(2);
  int value = 0;
  auto wait = [](Program<int>& sum, int& value) -> Program<void> { value = co_await sum; };
  Program<void> waiting = wait(sum, value);
  waiting.Start();
  EXPECT_EQ(value, 3);
}

TEST(LaterTest, ResumesAllWaitersInTheirOrder) {
  Later<int> value;
  std::vector<int> order;
  auto wait = [](Later<int>& value, std::vector<int>& order, int who) -> Program<void> {
    co_await value.Wait();
    order.push_back(who);
  };
  std::vector<Program<void>> programs;
  for (int who = 0; who < 5; ++who) {
    programs.push_back(wait(value, order, who));
    programs.back().Start();
  }
  value.Set(1);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

struct CountsItsEnd {
  int* ends;
  ~CountsItsEnd() { ++*ends; }
};

TEST(ProgramTest, DroppingAWaitingProgramDestroysItsLocals) {
  int ends = 0;
  {
    Later<int> never;
    auto wait = [](Later<int>& never, int* ends) -> Program<void> {
      CountsItsEnd counts{ends};
      co_await never.Wait();
    };
    Program<void> waiting = wait(never, &ends);
    waiting.Start();
    EXPECT_EQ(ends, 0);
    Program<void> not_started = wait(never, &ends);
    Program<void> moved = std::move(waiting);
    moved.Drop();
    EXPECT_EQ(ends, 1);
  }
  EXPECT_EQ(ends, 1);
}

}  // namespace
}  // namespace tandem
