// Threads that talk in virtual time: what happens when depends on the times that things are given and on nothing else.
#include "proto/wire/virtual_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"

namespace tandem::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Body = std::function<void(VirtualTime&, VirtualNetwork&)>;

void RunThreads(const MessageTimes& times, const std::vector<Body>& bodies) {
  VirtualTime time(bodies.size());
  VirtualNetwork network(time, times);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < bodies.size(); ++i) {
    threads.emplace_back([&, i] {
      time.Enter(i);
      bodies[i](time, network);
      time.Leave();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Answers every call at once, until so many clients have left.
Body Answering(size_t clients, std::vector<std::string>* log = nullptr) {
  return [=](VirtualTime& time, VirtualNetwork& network) {
    const auto clock = network.MakeClock(100);
    const auto server = *network.Bind(*clock, {.endpoint = "inproc://here", .build = "", .config_digest = ""});
    for (size_t left = 0; left < clients;) {
      const auto event = *server->Poll(1);
      if (!event) continue;
      left += event->kind == Event::kLeft;
      if (event->kind == Event::kCall) server->Reply(event->session, event->call, event->packet.header);
      if (log != nullptr) log->push_back(absl::StrCat(event->peer.name(), " ", event->kind, " at ", time.now()));
    }
  };
}

std::unique_ptr<Client> Connect(VirtualNetwork& network, const Clock& clock, const std::string& name) {
  ClientOptions options{.endpoint = "inproc://here", .hello = {}};
  options.hello.set_name(name);
  return *network.Connect(clock, options);
}

TEST(VirtualNetworkTest, ACallTakesTheTimeOfTwoMessagesAndOfTheBytesOfItsFrames) {
  std::vector<double> answered_at;
  RunThreads({.message_s = 0.25, .s_per_frame_byte = 0.001},
             {Answering(1), [&](VirtualTime& time, VirtualNetwork& network) {
                const auto clock = network.MakeClock(0);
                const auto client = Connect(network, *clock, "a");
                EXPECT_TRUE(client->Call({}, {}, "an answer").ok());
                answered_at.push_back(time.now());
                EXPECT_TRUE(client->Call({}, {MakeFrame(std::string(1000, 'x'))}, "an answer").ok());
                answered_at.push_back(time.now());
                EXPECT_DOUBLE_EQ(client->welcome().clock_s(), 100);  // the server's clock shows that at 0
              }});
  EXPECT_THAT(answered_at, ElementsAre(0.5, 2.0));
}

TEST(VirtualNetworkTest, WhatTakesTimeIsNotCutShortByMessages) {
  RunThreads({}, {[](VirtualTime& time, VirtualNetwork& network) {
                    const auto clock = network.MakeClock(0);
                    const auto server = *network.Bind(*clock, {.endpoint = "e", .build = "", .config_digest = ""});
                    clock->Spend(10);
                    EXPECT_EQ(time.now(), 10);
                    EXPECT_EQ((*server->Poll(0))->kind, Event::kJoined);
                  },
                  [](VirtualTime&, VirtualNetwork& network) {
                    const auto clock = network.MakeClock(0);
                    const auto client = Connect(network, *clock, "a");
                  }});
}

TEST(VirtualNetworkTest, ACallWithoutAnswerEndsAtItsDeadlineAndSaysWhatIsMissing) {
  RunThreads({}, {[](VirtualTime&, VirtualNetwork& network) {
                    const auto clock = network.MakeClock(0);
                    const auto server = *network.Bind(*clock, {.endpoint = "e", .build = "", .config_digest = ""});
                    for (bool here = true; here;) {
                      const auto event = *server->Poll(1);
                      if (event && event->kind == Event::kCall) server->set_missing(event->session, event->call, "Bob");
                      here = !event || event->kind != Event::kLeft;
                    }
                  },
                  [](VirtualTime& time, VirtualNetwork& network) {
                    const auto clock = network.MakeClock(0);
                    const auto client = Connect(network, *clock, "a");
                    const absl::Status status = client->Call({}, {}, "a cake", /*deadline_s=*/3).status();
                    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
                    EXPECT_THAT(std::string(status.message()), HasSubstr("a cake"));
                    EXPECT_THAT(std::string(status.message()), HasSubstr("Bob"));
                    EXPECT_EQ(time.now(), 3);
                  }});
}

TEST(VirtualNetworkTest, WhoeverWaitsForAServerThatLeavesIsTold) {
  RunThreads({}, {[](VirtualTime&, VirtualNetwork& network) {
                    const auto clock = network.MakeClock(0);
                    const auto server = *network.Bind(*clock, {.endpoint = "e", .build = "", .config_digest = ""});
                    clock->Spend(5);
                  },
                  [](VirtualTime& time, VirtualNetwork& network) {
                    const auto clock = network.MakeClock(0);
                    const auto client = Connect(network, *clock, "a");
                    EXPECT_EQ(client->Call({}, {}, "a cake").status().code(), absl::StatusCode::kUnavailable);
                    EXPECT_EQ(time.now(), 5);
                  }});
}

TEST(VirtualNetworkTest, NobodyAnswersWhereNobodyListens) {
  RunThreads({}, {[](VirtualTime& time, VirtualNetwork& network) {
               const auto clock = network.MakeClock(0);
               const absl::Status status = network.Connect(*clock, {.endpoint = "e", .hello = {}}).status();
               EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
               EXPECT_EQ(time.now(), 30);  // connect_s
             }});
}

TEST(VirtualNetworkTest, AnAnnouncementReachesEverybody) {
  int heard = 0;
  const Body listener = [&](VirtualTime&, VirtualNetwork& network) {
    const auto clock = network.MakeClock(0);
    const auto client = Connect(network, *clock, "a");
    const auto arrival = *client->Poll(60);
    ASSERT_TRUE(arrival.has_value());
    heard += arrival->call == 0 && arrival->packet.header.announcement().finished();
  };
  RunThreads({}, {[](VirtualTime&, VirtualNetwork& network) {
                    const auto clock = network.MakeClock(0);
                    const auto server = *network.Bind(*clock, {.endpoint = "e", .build = "", .config_digest = ""});
                    clock->Spend(1);
                    proto::Announcement announcement;
                    announcement.set_finished(true);
                    server->Announce(announcement);
                    clock->Spend(1);
                  },
                  listener, listener, listener});
  EXPECT_EQ(heard, 3);
}

// Many threads of the machine, whose order is the scheduler's, always do the same in virtual time.
TEST(VirtualNetworkTest, TheSameHappensEveryTime) {
  const auto play = [](uint64_t seed) {
    std::vector<std::string> log;
    std::vector<Body> bodies = {Answering(8, &log)};
    for (uint64_t i = 0; i < 8; ++i) {
      bodies.push_back([=](VirtualTime&, VirtualNetwork& network) {
        RandomStream random(MixKey(seed, i));
        const auto clock = network.MakeClock(0);
        const auto client = Connect(network, *clock, absl::StrCat("client ", i));
        for (int call = 0; call < 20; ++call) {
          clock->Spend(0.1 * static_cast<double>(static_cast<int>(5 * random.Uniform())));  // often at the same time
          EXPECT_TRUE(client->Call({}, {}, "an answer").ok());
        }
      });
    }
    RunThreads({.message_s = 0.1}, bodies);
    return log;
  };
  const std::vector<std::string> first = play(1);
  EXPECT_EQ(first.size(), 8u * (20 + 2));
  for (int i = 0; i < 20; ++i) ASSERT_EQ(play(1), first);
  EXPECT_NE(play(2), first);
}

}  // namespace
}  // namespace tandem::wire
