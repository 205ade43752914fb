// What a server gets from peers that are broken or of another kind: counted, refused with the reason, and harmless.
#include <zmq.hpp>

#include "base/random.h"
#include "proto/group.h"
#include "proto/wire/frame.h"
#include "proto/wire/routing_id.h"
#include "tests/proto/wire_fixture.h"

namespace tandem::wire {
namespace {

constexpr uint64_t kLimit = 100'000;  // bytes of a part

// Named in tsan.supp: this peer talks to ZeroMQ without proto/wire/socket.cc, which tells the sanitizer what is
// ordered.
[[gnu::noinline]] std::string CopyReceived(const zmq::message_t& message) { return message.to_string(); }

// A DEALER without any of the client's care.
class RawPeer {
 public:
  RawPeer(zmq::context_t& context, const std::string& endpoint, uint64_t session) : socket_(context, ZMQ_DEALER) {
    socket_.set(zmq::sockopt::routing_id, RoutingId(session));
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::rcvtimeo, 20'000);
    socket_.connect(endpoint);
  }
  void Send(const std::vector<std::string>& parts) {
    for (size_t i = 0; i < parts.size(); ++i) {
      socket_.send(zmq::buffer(parts[i]), i + 1 < parts.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
  }
  void Send(const proto::Header& header) { Send({header.SerializeAsString()}); }
  // The reason of the next refusal; anything else: its body's number.
  std::string NextRefusal() {
    zmq::message_t message;
    if (!socket_.recv(message)) return "nothing came";
    proto::Header header;
    if (!header.ParseFromString(CopyReceived(message))) return "not a header";
    return header.has_refusal() ? header.refusal().reason() : absl::StrCat("body ", header.body_case());
  }

 private:
  zmq::socket_t socket_;
};

proto::Header Hello(uint64_t session) {
  proto::Header header;
  header.set_format(kProtocol);
  header.set_session(session);
  proto::Hello* hello = header.mutable_hello();
  hello->set_protocol(kProtocol);
  hello->set_build("build-a");
  hello->set_config_digest("digest-a");
  hello->set_name("raw");
  return header;
}

class MalformedTest : public testing::TestWithParam<const char*> {
 protected:
  MalformedTest() {
    ServerOptions options = TestServerOptions(FreshEndpoint(GetParam()));
    options.max_message_bytes = kLimit;
    auto server = Server::Bind(context_, clock_, options);
    if (!server.ok()) throw std::runtime_error(server.status().ToString());
    server_ = server->get();
    thread_ = std::make_unique<ServerThread>(*std::move(server), [this](Server& s, Event event) {
      malformed_ = s.malformed();
      if (event.kind == Event::kCall) ++calls_;
      ServerThread::Echo(s, std::move(event));
    });
  }
  void ExpectHealthy() {
    const auto client = Client::Connect(context_, clock_, TestClientOptions(thread_->endpoint(), "healthy"));
    ASSERT_TRUE(client.ok()) << client.status();
    const auto answer = (*client)->Call(NumberCall(1), {}, "an echo");
    ASSERT_TRUE(answer.ok()) << answer.status();
  }

  zmq::context_t context_;
  RealClock clock_;
  std::atomic<uint64_t> malformed_{0};
  std::atomic<int> calls_{0};
  Server* server_ = nullptr;
  std::unique_ptr<ServerThread> thread_;
};

INSTANTIATE_TEST_SUITE_P(Transports, MalformedTest, testing::Values("inproc", "ipc", "tcp"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(MalformedTest, EachGetsItsReason) {
  RawPeer raw(context_, thread_->endpoint(), 7);
  raw.Send(std::vector<std::string>{""});
  EXPECT_EQ(raw.NextRefusal(), "the message is of protocol 0, expected protocol 1");
  raw.Send({"\xff\xfe garbage", "frame"});
  EXPECT_EQ(raw.NextRefusal(), "the header (10 bytes) is not a tandem.proto.Header");
  proto::Header header = Hello(7);
  header.set_format(9);
  raw.Send(header);
  EXPECT_EQ(raw.NextRefusal(), "the message is of protocol 9, expected protocol 1");
  raw.Send(Hello(8));
  EXPECT_EQ(raw.NextRefusal(), "the message is not of the session that its connection belongs to");
  header = Hello(7);
  header.mutable_hello()->set_protocol(2);
  raw.Send(header);
  EXPECT_EQ(raw.NextRefusal(), "protocol of raw is 2, the exchange has 1");
  header = Hello(7);
  header.mutable_hello()->clear_name();
  raw.Send(header);
  EXPECT_EQ(raw.NextRefusal(), "a hello without a name");
  header = Hello(7);
  header.mutable_ticket_request();
  header.set_call(1);
  raw.Send(header);
  EXPECT_EQ(raw.NextRefusal(), "the session is not known");
  raw.Send(Hello(7));
  EXPECT_EQ(raw.NextRefusal(), absl::StrCat("body ", static_cast<int>(proto::Header::kWelcome)));
  header.set_call(0);
  raw.Send(header);
  EXPECT_EQ(raw.NextRefusal(), "a message with body 20 cannot be sent without a call's number");
  header.mutable_welcome();
  header.set_call(3);
  raw.Send(header);
  EXPECT_EQ(raw.NextRefusal(), "a message with body 11 cannot be a call");
  header.mutable_ticket_request();
  header.add_also_done(5);
  raw.Send(header);
  EXPECT_EQ(raw.NextRefusal(), "also_done is not made of pairs");
  EXPECT_EQ(calls_, 0);
  ExpectHealthy();
  EXPECT_EQ(malformed_, 7u);  // refused hellos and unknown sessions are well made
}

TEST_P(MalformedTest, RandomMessagesNeverEndTheServer) {
  RawPeer raw(context_, thread_->endpoint(), 7);
  raw.Send(Hello(7));
  raw.NextRefusal();
  RandomStream random(1);
  for (int i = 0; i < 2'000; ++i) {
    proto::Header header = Hello(7);
    header.set_call(random.Below(5));
    header.add_also_done(random.Next());
    header.add_also_done(random.Next());
    if (random.Below(2) == 0) header.mutable_group()->set_worker("raw");
    std::string bytes = header.SerializeAsString();
    for (uint64_t j = 0; j < random.Below(4); ++j) bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
    std::vector<std::string> parts = {bytes};
    for (uint64_t j = random.Below(4); j > 0; --j) parts.emplace_back(random.Below(100), 'x');
    raw.Send(parts);
  }
  ExpectHealthy();
}

TEST_P(MalformedTest, AFrameOverTheLimitEndsOnlyItsConnection) {
  RawPeer raw(context_, thread_->endpoint(), 7);
  raw.Send(Hello(7));
  raw.NextRefusal();
  proto::Header header = NumberCall(1);
  header.set_format(kProtocol);
  header.set_session(7);
  header.set_call(1);
  raw.Send({header.SerializeAsString(), std::string(10 * kLimit, 'x')});
  if (std::string(GetParam()) == "inproc") return ExpectHealthy();  // ZeroMQ's limit is for connections
  ExpectHealthy();
  EXPECT_EQ(calls_, 1);  // the healthy one's
}

TEST_P(MalformedTest, AGroupWithLyingSizesIsRefusedByItsReader) {
  auto server = Server::Bind(context_, clock_, TestServerOptions(FreshEndpoint(GetParam())));
  ASSERT_TRUE(server.ok()) << server.status();
  ServerThread thread(*std::move(server), [](Server& s, Event event) {
    if (event.kind != Event::kCall) return;
    const absl::Status status = CheckGroup(event.packet.header.group(), event.packet.frames);
    proto::Header header;
    if (status.ok()) {
      header.mutable_group_receipt()->set_verdict("accepted");
    } else {
      header.mutable_refusal()->set_reason(std::string(status.message()));
    }
    s.Reply(event.session, event.call, std::move(header));
  });
  const auto client = Client::Connect(context_, clock_, TestClientOptions(thread.endpoint()));
  ASSERT_TRUE(client.ok()) << client.status();
  proto::Header header;
  proto::Group* group = header.mutable_group();
  group->set_format(kGroupFormat);
  group->set_worker("worker-1");
  group->mutable_ticket()->set_id(5);
  group->mutable_ticket()->set_episodes(1);
  group->add_episodes()->add_turns()->set_prompt_tokens(0xffffffff);
  const auto answer = (*client)->Call(header, PackFrames({}), "group 5");
  EXPECT_EQ(answer.status().message(),
            "group 5: group 5 of worker-1: frame ids has 0 bytes, the header says 17179869180");
}

}  // namespace
}  // namespace tandem::wire
