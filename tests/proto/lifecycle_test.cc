// Who comes first, who goes, who is killed, and what is said about it.
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/proto/wire_fixture.h"

namespace tandem::wire {
namespace {

TEST(LifecycleTest, ClientsMayComeBeforeTheServer) {
  for (const char* transport : {"inproc", "ipc"}) {
    SCOPED_TRACE(transport);
    const std::string endpoint = FreshEndpoint(transport);
    zmq::context_t context;
    RealClock clock;
    std::thread early([&] {
      const auto client = Client::Connect(context, clock, TestClientOptions(endpoint));
      ASSERT_TRUE(client.ok()) << client.status();
      EXPECT_TRUE((*client)->Call(NumberCall(1), {}, "an echo").ok());
    });
    // A second one, that gives up before there is a server.
    ClientOptions impatient = TestClientOptions(endpoint, "impatient");
    impatient.connect_s = 0.1;
    EXPECT_FALSE(Client::Connect(context, clock, impatient).ok());
    auto server = Server::Bind(context, clock, TestServerOptions(endpoint));
    ASSERT_TRUE(server.ok()) << server.status();
    ServerThread thread(*std::move(server));
    early.join();
  }
}

TEST(LifecycleTest, AnotherExchangeAtTheSamePlaceDoesNotKnowOldSessions) {
  for (const char* transport : {"ipc", "tcp"}) {
    SCOPED_TRACE(transport);
    zmq::context_t context;
    RealClock clock;
    auto server = Server::Bind(context, clock, TestServerOptions(FreshEndpoint(transport)));
    ASSERT_TRUE(server.ok()) << server.status();
    auto thread = std::make_unique<ServerThread>(*std::move(server));
    const std::string endpoint = thread->endpoint();
    const auto client = Client::Connect(context, clock, TestClientOptions(endpoint));
    ASSERT_TRUE(client.ok()) << client.status();
    EXPECT_TRUE((*client)->Call(NumberCall(1), {}, "an echo").ok());
    thread.reset();
    server = Server::Bind(context, clock, TestServerOptions(endpoint));
    for (int i = 0; i < 200 && !server.ok(); ++i) {  // ZeroMQ closes the old one in the background
      (void)(*client)->Poll(0.01);
      server = Server::Bind(context, clock, TestServerOptions(endpoint));
    }
    ASSERT_TRUE(server.ok()) << server.status();
    thread = std::make_unique<ServerThread>(*std::move(server));
    const auto answer = (*client)->Call(NumberCall(2), {}, "an echo");
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(answer.status().message(),
              "the exchange at " + endpoint + " does not go on with worker-1: the session is not known");
  }
}

TEST(LifecycleTest, ASocketThatAKilledProcessLeftBehindIsNoObstacle) {
  const std::string endpoint = FreshEndpoint("ipc");
  zmq::context_t* context = nullptr;
  RealClock clock;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    context = new zmq::context_t;
    const auto server = Server::Bind(*context, clock, TestServerOptions(endpoint));
    raise(server.ok() ? SIGKILL : SIGABRT);
  }
  int how = 0;
  ASSERT_EQ(waitpid(child, &how, 0), child);
  ASSERT_TRUE(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
  ASSERT_EQ(access(endpoint.substr(6).c_str(), F_OK), 0);  // it is there
  zmq::context_t here;
  auto server = Server::Bind(here, clock, TestServerOptions(endpoint));
  ASSERT_TRUE(server.ok()) << server.status();
  ServerThread thread(*std::move(server));
  const auto client = Client::Connect(here, clock, TestClientOptions(endpoint));
  ASSERT_TRUE(client.ok()) << client.status();
}

TEST(LifecycleTest, AKilledClientIsLostAndOthersGoOn) {
  const std::string endpoint = FreshEndpoint("ipc");
  RealClock clock;
  const pid_t child = fork();  // before there are threads
  ASSERT_GE(child, 0);
  if (child == 0) {
    zmq::context_t context;
    const auto client = Client::Connect(context, clock, TestClientOptions(endpoint, "doomed"));
    if (client.ok()) (void)(*client)->Call(NumberCall(1), {}, "the call that is not answered");
    _exit(1);
  }
  zmq::context_t context;
  ServerOptions options = TestServerOptions(endpoint);
  options.silence_s = 0.5;
  auto server = Server::Bind(context, clock, options);
  ASSERT_TRUE(server.ok()) << server.status();
  std::string lost;
  while (lost.empty()) {
    const auto event = (*server)->Poll(20);
    ASSERT_TRUE(event.ok() && event->has_value());
    if ((*event)->kind == Event::kCall) kill(child, SIGKILL);
    if ((*event)->kind == Event::kLost) lost = (*event)->peer.name() + " " + (*event)->why.substr(0, 7);
  }
  EXPECT_EQ(lost, "doomed silent ");
  waitpid(child, nullptr, 0);
  ServerThread thread(*std::move(server));
  const auto client = Client::Connect(context, clock, TestClientOptions(endpoint, "survivor"));
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE((*client)->Call(NumberCall(1), {}, "an echo").ok());
}

TEST(LifecycleTest, EndpointsThatCannotBeAreNamed) {
  zmq::context_t context;
  RealClock clock;
  const std::string long_path = "ipc:///tmp/" + std::string(120, 'x');
  EXPECT_EQ(Server::Bind(context, clock, TestServerOptions(long_path)).status().message(),
            long_path + ": the path has 125 bytes, a socket's path may have 103");
  EXPECT_EQ(Client::Connect(context, clock, TestClientOptions("host:1")).status().code(),
            absl::StatusCode::kInvalidArgument);
  const auto nowhere = Server::Bind(context, clock, TestServerOptions("ipc:///no/such/folder/x"));
  EXPECT_EQ(nowhere.status().message(), "ipc:///no/such/folder/x: No such file or directory");
  EXPECT_EQ(nowhere.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LifecycleTest, PollingWithNothingThereIsCheap) {
  zmq::context_t context;
  RealClock clock;
  auto server = Server::Bind(context, clock, TestServerOptions(FreshEndpoint("ipc")));
  ASSERT_TRUE(server.ok()) << server.status();
  ServerThread thread(*std::move(server));
  const auto client = Client::Connect(context, clock, TestClientOptions(thread.endpoint()));
  ASSERT_TRUE(client.ok()) << client.status();
  constexpr int kPolls = 20'000;
  const auto cpu_s = [] {  // of this thread: the machine may be busy
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = cpu_s();
  for (int i = 0; i < kPolls; ++i) ASSERT_TRUE((*client)->Poll(0).ok());
  const double microseconds = (cpu_s() - start) / kPolls * 1e6;
  RecordProperty("microseconds_per_poll", std::to_string(microseconds));
  EXPECT_LT(microseconds, 50);  // 1 to 2 on an idle machine
  std::printf("%.2f microseconds per Poll(0)\n", microseconds);
}

}  // namespace
}  // namespace tandem::wire
