// A connection that breaks again and again between client and server: calls are still executed once and answered once.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <map>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "tests/proto/wire_fixture.h"

namespace tandem::wire {
namespace {

sockaddr_in Local(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Forwards one port to another, and cuts every connection after a random number of bytes.
class CuttingProxy {
 public:
  CuttingProxy(uint16_t target, uint64_t seed) : target_(target), random_(seed) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = Local(0);
    socklen_t size = sizeof address;
    TANDEM_CHECK(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    TANDEM_CHECK(listen(listener_, 8) == 0);
    TANDEM_CHECK(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Loop(); });
  }
  ~CuttingProxy() {
    stop_ = true;
    thread_.join();
    for (Pair& pair : pairs_) Close(pair);
    close(listener_);
  }
  uint16_t port() const { return port_; }
  int cuts() const { return cuts_; }

 private:
  struct Pair {
    int ends[2];
    int64_t bytes_left;
  };
  static void Close(Pair& pair) {
    close(pair.ends[0]);
    close(pair.ends[1]);
  }

  void Accept() {
    const int client = accept(listener_, nullptr, nullptr);
    const int server = socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address = Local(target_);
    if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      close(server);
      close(client);
      return;
    }
    pairs_.push_back({{client, server}, static_cast<int64_t>(200 + random_.Below(60'000))});
  }

  // False: the connection is to be cut.
  static bool Forward(Pair& pair, int from) {
    char buffer[4096];
    const ssize_t count = recv(pair.ends[from], buffer, sizeof buffer, 0);
    if (count <= 0) return false;
    pair.bytes_left -= count;
    return pair.bytes_left > 0 && send(pair.ends[1 - from], buffer, count, MSG_NOSIGNAL) == count;
  }

  void Loop() {
    while (!stop_) {
      std::vector<pollfd> polled = {{listener_, POLLIN, 0}};
      for (const Pair& pair : pairs_) {
        polled.push_back({pair.ends[0], POLLIN, 0});
        polled.push_back({pair.ends[1], POLLIN, 0});
      }
      if (::poll(polled.data(), polled.size(), 10) <= 0) continue;
      std::vector<Pair> kept;
      for (size_t i = 0; i < pairs_.size(); ++i) {
        bool whole = true;
        for (int end = 0; end < 2 && whole; ++end) {
          if (polled[1 + 2 * i + end].revents != 0) whole = Forward(pairs_[i], end);
        }
        if (whole) {
          kept.push_back(pairs_[i]);
        } else {
          Close(pairs_[i]);
          ++cuts_;
        }
      }
      pairs_ = std::move(kept);
      if (polled[0].revents != 0) Accept();
    }
  }

  const uint16_t target_;
  RandomStream random_;
  int listener_;
  uint16_t port_;
  std::vector<Pair> pairs_;
  std::atomic<bool> stop_{false};
  std::atomic<int> cuts_{0};
  std::thread thread_;
};

TEST(ReconnectTest, ConnectionsThatBreakLoseNothing) {
  zmq::context_t context;
  RealClock clock;
  auto server = Server::Bind(context, clock, TestServerOptions(FreshEndpoint("tcp")));
  ASSERT_TRUE(server.ok()) << server.status();
  std::map<uint64_t, int> executed;
  auto thread = std::make_unique<ServerThread>(*std::move(server), [&](Server& s, Event event) {
    EXPECT_NE(event.kind, Event::kLost) << event.why;
    if (event.kind == Event::kCall) ++executed[event.call];
    ServerThread::Echo(s, std::move(event));
  });
  const std::string endpoint = thread->endpoint();
  CuttingProxy proxy(std::stoi(endpoint.substr(endpoint.rfind(':') + 1)), /*seed=*/1);
  ClientOptions options = TestClientOptions(absl::StrCat("tcp://127.0.0.1:", proxy.port()));
  options.resend_s = 0.05;
  const auto client = Client::Connect(context, clock, options);
  ASSERT_TRUE(client.ok()) << client.status();
  constexpr uint32_t kCalls = 150;
  uint32_t started = 0, answered = 0;
  std::map<uint64_t, uint32_t> open;  // call -> number
  while (answered < kCalls) {
    while (open.size() < 4 && started < kCalls) {
      const uint64_t call = (*client)->Start(NumberCall(started), {MakeFrame(std::string(3000, 'x'))}, "an echo");
      open[call] = started++;
    }
    const auto arrival = (*client)->Poll(20);
    ASSERT_TRUE(arrival.ok()) << arrival.status();
    ASSERT_TRUE(arrival->has_value()) << "nothing came for 20 s";
    ASSERT_EQ(open.count((*arrival)->call), 1u);
    EXPECT_EQ((*arrival)->packet.header.batch().step(), open[(*arrival)->call]);
    open.erase((*arrival)->call);
    ++answered;
  }
  EXPECT_GT(proxy.cuts(), 10);
  thread.reset();
  EXPECT_EQ(executed.size(), kCalls);
  for (const auto& [call, times] : executed) EXPECT_EQ(times, 1) << call;
}

}  // namespace
}  // namespace tandem::wire
