#include "proto/wire/endpoint.h"

#include <gtest/gtest.h>

#include <fstream>

#include "proto/wire/client.h"

namespace tandem::wire {
namespace {

TEST(EndpointTest, AnnouncementsHaveTheirOwn) {
  EXPECT_EQ(AnnounceEndpoint("tcp://127.0.0.1:5555"), "tcp://127.0.0.1:5556");
  EXPECT_EQ(AnnounceEndpoint("ipc:///tmp/x"), "ipc:///tmp/x.pub");
  EXPECT_EQ(AnnounceEndpoint("inproc://x"), "inproc://x.pub");
}

TEST(EndpointTest, TakesWhatCanBe) {
  for (const char* endpoint : {"tcp://127.0.0.1:5555", "tcp://host.name:65534", "ipc:///tmp/x", "inproc://x"}) {
    EXPECT_TRUE(CheckEndpoint(endpoint, /*may_choose_port=*/false).ok()) << endpoint;
  }
  EXPECT_TRUE(CheckEndpoint("tcp://*:*", /*may_choose_port=*/true).ok());
  EXPECT_TRUE(CheckEndpoint("ipc:///" + std::string(102, 'x'), true).ok());
}

TEST(EndpointTest, SaysWhatIsExpected) {
  const auto message = [](const std::string& endpoint) {
    return std::string(CheckEndpoint(endpoint, false).message());
  };
  EXPECT_EQ(message("host:5555"), "host:5555: expected inproc://NAME, ipc://PATH or tcp://HOST:PORT");
  EXPECT_EQ(message("tcp://5555"), "tcp://5555: expected tcp://HOST:PORT");
  EXPECT_EQ(message("tcp://host:70000"),
            "tcp://host:70000: expected a port from 1 to 65534 (the next one is for announcements)");
  EXPECT_EQ(message("tcp://host:5x"),
            "tcp://host:5x: expected a port from 1 to 65534 (the next one is for announcements)");
  EXPECT_EQ(message("tcp://*:5"), "tcp://*:5: * is a place to listen at: name a host to connect to");
  EXPECT_EQ(message("ipc://"), "ipc://: expected ipc://PATH");
  EXPECT_EQ(message("inproc://"), "inproc://: expected inproc://NAME");
  const std::string long_path = "ipc:///" + std::string(110, 'x');
  EXPECT_EQ(message(long_path), long_path + ": the path has 111 bytes, a socket's path may have 103");
}

TEST(EndpointTest, DoesNotTakeTheFileOfSomethingElse) {
  const std::string path = testing::TempDir() + "tandem_endpoint_test_file";
  std::ofstream(path) << "precious";
  EXPECT_EQ(CheckIpcFree("ipc://" + path).message(),
            "ipc://" + path + ": the path is taken by something that is no socket");
  std::remove(path.c_str());
  EXPECT_TRUE(CheckIpcFree("ipc://" + path).ok());
}

}  // namespace
}  // namespace tandem::wire
