// Client and server over real sockets, as they should be used.
#include <atomic>
#include <set>

#include "proto/wire/client.h"
#include "tests/proto/wire_fixture.h"

namespace tandem::wire {
namespace {

class WireTest : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Server> MustBind(ServerOptions options) {
    auto server = Server::Bind(context_, clock_, std::move(options));
    if (!server.ok()) throw std::runtime_error(server.status().ToString());
    return *std::move(server);
  }
  std::unique_ptr<Client> MustConnect(ClientOptions options) {
    auto client = Client::Connect(context_, clock_, std::move(options));
    if (!client.ok()) throw std::runtime_error(client.status().ToString());
    return *std::move(client);
  }
  std::string Fresh() const { return FreshEndpoint(GetParam()); }

  zmq::context_t context_;
  RealClock clock_;
};

INSTANTIATE_TEST_SUITE_P(Transports, WireTest, testing::Values("inproc", "ipc", "tcp"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(WireTest, CallsAreAnsweredWithTheirFrames) {
  auto server = MustBind(TestServerOptions(Fresh()));
  proto::Welcome welcome;
  welcome.set_run("run-7");
  server->set_welcome(welcome);
  ServerThread thread(std::move(server));
  auto client = MustConnect(TestClientOptions(thread.endpoint()));
  EXPECT_EQ(client->welcome().run(), "run-7");
  EXPECT_GT(client->welcome().clock_s(), 0);
  for (uint32_t i = 0; i < 50; ++i) {
    const std::vector<Frame> frames = {MakeFrame(std::string(i * 10'000, 'a' + i % 26)), MakeFrame("")};
    const auto answer = client->Call(NumberCall(i), frames, "an echo");
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->header.batch().step(), i);
    ASSERT_EQ(answer->frames.size(), 2u);
    EXPECT_EQ(*answer->frames[0], *frames[0]);
  }
  std::set<uint64_t> open;
  for (uint32_t i = 0; i < 100; ++i) open.insert(client->Start(NumberCall(i), {}, "an echo"));
  EXPECT_EQ(client->pending(), 100u);
  while (!open.empty()) {
    const auto arrival = client->Poll(10);
    ASSERT_TRUE(arrival.ok() && arrival->has_value()) << arrival.status();
    EXPECT_EQ(open.erase((*arrival)->call), 1u);
  }
  EXPECT_EQ(client->pending(), 0u);
}

TEST_P(WireTest, SeveralClientsAtOnce) {
  ServerThread thread(MustBind(TestServerOptions(Fresh())));
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      auto client = MustConnect(TestClientOptions(thread.endpoint(), absl::StrCat("worker-", c)));
      for (uint32_t i = 0; i < 100; ++i) {
        const auto answer = client->Call(NumberCall(i), {MakeFrame(std::string(5000, 'x'))}, "an echo");
        ASSERT_TRUE(answer.ok()) << answer.status();
        ASSERT_EQ(answer->header.batch().step(), i);
      }
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST_P(WireTest, ASlowCallIsExecutedOnceAndAnsweredOnce) {
  std::atomic<int> executed = 0;
  double answer_at = 0;
  std::optional<Event> waiting;
  ServerThread thread(MustBind(TestServerOptions(Fresh())), [&](Server& server, Event event) {
    if (event.kind == Event::kCall) {
      ++executed;
      answer_at = clock_.Now() + 0.3;
      server.set_missing(event.session, event.call, "somebody slow");
      waiting = std::move(event);
    }
    // Heartbeats come often enough to look at the clock.
    if (waiting.has_value() && clock_.Now() > answer_at) {
      ServerThread::Echo(server, *std::exchange(waiting, std::nullopt));
    }
  });
  ClientOptions options = TestClientOptions(thread.endpoint());
  options.resend_s = 0.02;
  options.silence_s = 0.2;
  auto client = MustConnect(options);
  const auto answer = client->Call(NumberCall(5), {MakeFrame("kept")}, "a slow echo");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer->frames.at(0), "kept");
  EXPECT_TRUE(client->Call(NumberCall(6), {}, "another").ok());  // its answer comes after everything repeated
  EXPECT_EQ(client->pending(), 0u);
  const auto more = client->Poll(0);
  EXPECT_TRUE(more.ok() && !more->has_value());
  EXPECT_EQ(executed, 2);
}

TEST_P(WireTest, ADeadlineNamesTheCallAndWhatIsMissing) {
  ServerThread thread(MustBind(TestServerOptions(Fresh())), [](Server& server, Event event) {
    if (event.kind == Event::kCall)
      server.set_missing(event.session, event.call, "7 of 32 groups: worker-1 plays them");
  });
  ClientOptions options = TestClientOptions(thread.endpoint());
  options.resend_s = 0.02;
  auto client = MustConnect(options);
  const auto answer = client->Call(NumberCall(1), {}, "batch of step 12 of planner", /*deadline_s=*/0.5);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kDeadlineExceeded);
  const std::string text(answer.status().message());
  EXPECT_NE(text.find("batch of step 12 of planner: no answer from the exchange at " + thread.endpoint()), text.npos)
      << text;
  EXPECT_NE(text.find("7 of 32 groups: worker-1 plays them"), text.npos) << text;
  EXPECT_TRUE(client->Poll(0).ok());  // the call is over, the session is not
}

TEST_P(WireTest, AnnouncementsAndHeartbeatsArrive) {
  std::atomic<uint32_t> tokens{0};
  ServerThread thread(MustBind(TestServerOptions(Fresh())), [&](Server& server, Event event) {
    if (event.kind == Event::kHeartbeat) tokens += event.packet.header.heartbeat().rollout().tokens_generated();
    proto::Announcement announcement;  // may be lost, so it is repeated at every event
    announcement.mutable_version()->mutable_version()->set_number(3);
    server.Announce(announcement);
    ServerThread::Echo(server, std::move(event));
  });
  ClientOptions options = TestClientOptions(thread.endpoint());
  options.silence_s = 0.2;
  auto client = MustConnect(options);
  for (uint32_t count : {1, 10, 100}) {  // set faster than heartbeats are due: none may be dropped
    proto::Heartbeat heartbeat;
    heartbeat.mutable_rollout()->set_tokens_generated(count);
    client->set_heartbeat(heartbeat);
  }
  bool announced = false;
  while (tokens < 111 || !announced) {
    const auto arrival = client->Poll(10);
    ASSERT_TRUE(arrival.ok()) << arrival.status();
    ASSERT_TRUE(arrival->has_value());
    EXPECT_EQ((*arrival)->call, 0u);
    EXPECT_EQ((*arrival)->packet.header.announcement().version().version().number(), 3u);
    announced = true;
  }
  EXPECT_EQ(tokens, 111u);
}

TEST_P(WireTest, AFloodOfAnnouncementsIsLostWithoutHarm) {
  ServerThread thread(MustBind(TestServerOptions(Fresh())), [&](Server& server, Event event) {
    proto::Announcement announcement;
    for (int i = 0; event.kind == Event::kCall && i < 5'000; ++i) server.Announce(announcement);
    ServerThread::Echo(server, std::move(event));
  });
  auto client = MustConnect(TestClientOptions(thread.endpoint()));
  for (uint32_t i = 0; i < 3; ++i) {
    const auto answer = client->Call(NumberCall(i), {}, "an echo");
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->header.batch().step(), i);
  }
}

TEST_P(WireTest, WhoeverDiffersIsRefusedWithBothValues) {
  ServerThread thread(MustBind(TestServerOptions(Fresh())));
  const auto refusal = [&](ClientOptions options) {
    const auto client = Client::Connect(context_, clock_, std::move(options));
    EXPECT_EQ(client.status().code(), absl::StatusCode::kFailedPrecondition);
    return std::string(client.status().message());
  };
  const std::string start = "the exchange at " + thread.endpoint() + " refused worker-1: ";
  ClientOptions build = TestClientOptions(thread.endpoint());
  build.hello.set_build("build-b");
  EXPECT_EQ(refusal(build), start + "build of worker-1 is build-b, the exchange has build-a");
  ClientOptions digest = TestClientOptions(thread.endpoint());
  digest.hello.set_config_digest("digest-b");
  EXPECT_EQ(refusal(digest), start + "configuration digest of worker-1 is digest-b, the exchange has digest-a");
}

TEST_P(WireTest, ANameThatJoinsAgainEndsTheOldSession) {
  std::vector<std::string> seen;
  auto thread = std::make_unique<ServerThread>(MustBind(TestServerOptions(Fresh())), [&](Server& server, Event event) {
    if (event.kind == Event::kJoined) seen.push_back("joined " + event.peer.name());
    if (event.kind == Event::kLost) seen.push_back("lost " + event.peer.name() + ": " + event.why);
    ServerThread::Echo(server, std::move(event));
  });
  const std::string endpoint = thread->endpoint();
  auto old_one = MustConnect(TestClientOptions(endpoint));
  auto new_one = MustConnect(TestClientOptions(endpoint));
  EXPECT_TRUE(new_one->Call(NumberCall(1), {}, "an echo").ok());
  const auto answer = old_one->Call(NumberCall(1), {}, "an echo");
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(answer.status().message(), "the exchange at " + endpoint +
                                           " does not go on with worker-1: the session was lost: joined again as "
                                           "another session");
  EXPECT_EQ(old_one->Poll(0).status().code(), absl::StatusCode::kUnavailable);  // it stays so
  thread.reset();
  EXPECT_EQ(seen, (std::vector<std::string>{"joined worker-1", "lost worker-1: joined again as another session",
                                            "joined worker-1"}));
}

TEST_P(WireTest, WhoeverLeavesSaysGoodbye) {
  auto server = MustBind(TestServerOptions(Fresh()));
  std::thread peer([this, endpoint = server->endpoint()] { MustConnect(TestClientOptions(endpoint)); });
  std::vector<Event::Kind> seen;
  while (seen.size() < 2) {
    const auto event = server->Poll(20);
    ASSERT_TRUE(event.ok() && event->has_value());
    seen.push_back((*event)->kind);
  }
  peer.join();
  EXPECT_EQ(seen, (std::vector<Event::Kind>{Event::kJoined, Event::kLeft}));
}

TEST_P(WireTest, WhoeverIsToldToStopGivesUpItsCall) {
  std::atomic<bool> stop = false;
  ServerThread thread(MustBind(TestServerOptions(Fresh())), [&](Server&, Event event) {
    if (event.kind == Event::kCall) stop = true;  // and no answer
  });
  ClientOptions options = TestClientOptions(thread.endpoint());
  options.stop = &stop;
  auto client = MustConnect(options);
  const auto answer = client->Call(NumberCall(1), {}, "batch 1");
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(answer.status().message(),
            "batch 1: told to stop before the exchange at " + thread.endpoint() + " answered");
  EXPECT_EQ(client->pending(), 0u);
}

TEST_P(WireTest, WhoeverIsToldToStopDoesNotGoOnKnocking) {
  std::string endpoint = Fresh();
  if (endpoint == "tcp://127.0.0.1:*") endpoint = MustBind(TestServerOptions(endpoint))->endpoint();
  const std::atomic<bool> stop = true;
  ClientOptions options = TestClientOptions(endpoint);
  options.connect_s = 1e6;
  options.stop = &stop;
  EXPECT_EQ(Client::Connect(context_, clock_, options).status().code(), absl::StatusCode::kCancelled);
}

TEST_P(WireTest, PartsOverTheLimitFailTheirCallOnly) {
  ServerOptions server_options = TestServerOptions(Fresh());
  server_options.max_message_bytes = 100'000;
  ServerThread thread(MustBind(server_options), [](Server& server, Event event) {
    if (event.kind == Event::kCall && event.packet.header.batch_request().step() == 2) {
      event.packet.frames = {MakeFrame(std::string(200'000, 'x'))};
    }
    ServerThread::Echo(server, std::move(event));
  });
  ClientOptions options = TestClientOptions(thread.endpoint());
  options.max_message_bytes = 100'000;
  auto client = MustConnect(options);
  const auto large = client->Call(NumberCall(1), {MakeFrame(std::string(200'000, 'x'))}, "group 5");
  EXPECT_EQ(large.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(large.status().message(),
            "group 5: a part of 200000 bytes is over the limit of 100000 bytes (transport.max_message_bytes)");
  const auto answer = client->Call(NumberCall(2), {}, "chunk 3");
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(answer.status().message(),
            "chunk 3: the answer cannot be sent: a part of 200000 bytes is over the limit of 100000 bytes "
            "(transport.max_message_bytes)");
  EXPECT_TRUE(client->Call(NumberCall(3), {}, "an echo").ok());
}

TEST_P(WireTest, NobodyThereIsSaidInTime) {
  std::string endpoint = Fresh();
  if (endpoint == "tcp://127.0.0.1:*") {  // a port that was free a moment ago
    endpoint = MustBind(TestServerOptions(endpoint))->endpoint();
  }
  ClientOptions options = TestClientOptions(endpoint);
  options.connect_s = 0.2;
  const double start = clock_.Now();
  const auto client = Client::Connect(context_, clock_, options);
  EXPECT_EQ(client.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(client.status().message(), endpoint + ": nobody answered worker-1 within 0.2 s");
  EXPECT_GE(clock_.Now() - start, 0.2);
  EXPECT_LT(clock_.Now() - start, 5);
}

TEST_P(WireTest, AnEndpointInUseIsNamed) {
  const auto server = MustBind(TestServerOptions(Fresh()));
  ServerThread thread(MustBind(TestServerOptions(Fresh())));
  const auto second = Server::Bind(context_, clock_, TestServerOptions(thread.endpoint()));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(second.status().message(), thread.endpoint() + ": address already in use");
  auto client = MustConnect(TestClientOptions(thread.endpoint()));  // and who was first is unharmed
  EXPECT_TRUE(client->Call(NumberCall(1), {}, "an echo").ok());
}

TEST_P(WireTest, ASilentExchangeIsSaid) {
  auto thread = std::make_unique<ServerThread>(MustBind(TestServerOptions(Fresh())));
  const std::string endpoint = thread->endpoint();
  VirtualClock virtual_clock;
  auto client = Client::Connect(context_, virtual_clock, TestClientOptions(endpoint));
  ASSERT_TRUE(client.ok()) << client.status();
  thread.reset();
  (*client)->Start(NumberCall(1), {}, "an echo");
  absl::Status status;
  for (int second = 0; second < 60 && status.ok(); ++second) {
    virtual_clock.Advance(1);
    status = (*client)->Poll(0).status();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "the exchange at " + endpoint + " has been silent for 31.0 s");  // 3 silence_s = 30 s
}

}  // namespace
}  // namespace tandem::wire
