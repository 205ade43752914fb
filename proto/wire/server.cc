#include "proto/wire/server.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "proto/wire/client.h"
#include "proto/wire/endpoint.h"
#include "proto/wire/routing_id.h"
#include "proto/wire/socket.h"

namespace tandem::wire {
namespace {

constexpr int kDrainAtOnce = 256;    // messages taken in a row before anything else happens
constexpr int kPortAttempts = 20;    // for tcp://HOST:*, whose next port must be free too
constexpr uint64_t kLogAlways = 10;  // ... of a kind; after these, every one whose number is a power of two

// A peer that goes on sending nonsense does not fill the log.
bool WorthLogging(uint64_t count) { return count <= kLogAlways || (count & (count - 1)) == 0; }

bool IsCall(const proto::Header& header) {
  const auto body = header.body_case();
  return body >= proto::Header::kTicketRequest && body != proto::Header::kAnnouncement;
}

class ServerImpl final : public Server {
 public:
  ServerImpl(const Clock& clock, ServerOptions options, std::string endpoint, Socket calls, Socket announcements)
      : clock_(clock),
        options_(std::move(options)),
        endpoint_(std::move(endpoint)),
        announcements_(std::move(announcements)),
        calls_(std::move(calls)),
        last_turn_(clock.Now()) {}

  std::string endpoint() const override { return endpoint_; }
  void set_welcome(proto::Welcome welcome) override { welcome_ = std::move(welcome); }
  void Recall(const Event& event) override;
  absl::StatusOr<std::optional<Event>> Poll(double timeout_s) override;
  void Reply(SessionId session, uint64_t call, proto::Header header, std::vector<Frame> frames) override;
  void set_missing(SessionId session, uint64_t call, std::string missing) override {
    inbox_.SetMissing(session, call, std::move(missing));
  }
  void Announce(const proto::Announcement& announcement) override;
  uint64_t malformed() const override { return malformed_; }

 private:
  absl::Status Turn();
  void Handle(Parts parts);
  void HandleHello(const proto::Header& header);
  void HandleOther(Packet packet);
  double SilenceOf(const proto::Hello& peer) const {
    return peer.kind() == proto::TRAINER ? options_.trainer_silence_s : options_.silence_s;
  }
  absl::Status CheckHello(const proto::Hello& hello) const;
  absl::Status CheckBody(const proto::Header& header) const;
  void Malformed(const Frame& routing_id, const proto::Header& header, absl::string_view why);
  void Refuse(const Frame& routing_id, SessionId session, uint64_t call, absl::string_view reason);
  void Send(SessionId session, const Packet& packet) { Send(MakeFrame(RoutingId(session)), packet); }
  void Send(Frame routing_id, const Packet& packet);
  void PushLost(double now);

  const Clock& clock_;
  const ServerOptions options_;
  const std::string endpoint_;
  Socket announcements_;
  Socket calls_;
  Inbox inbox_;
  proto::Welcome welcome_;
  std::deque<Event> events_;
  uint64_t malformed_ = 0;
  uint64_t refused_ = 0;  // hellos
  double last_turn_;
  bool recalling_ = false;
};

void ServerImpl::Recall(const Event& event) {
  recalling_ = true;
  const double now = clock_.Now();
  switch (event.kind) {
    case Event::kJoined:
      (void)inbox_.Join(event.session, event.peer, SilenceOf(event.peer), now);
      return;
    case Event::kCall:
      (void)inbox_.Receive(event.packet.header, now);
      return;
    case Event::kLeft:
      inbox_.Leave(event.session);
      return;
    default:
      inbox_.Lose(event.session, event.why);
  }
}

absl::StatusOr<std::optional<Event>> ServerImpl::Poll(double timeout_s) {
  const RealClock waited;
  recalling_ = false;
  while (true) {
    if (events_.empty()) TANDEM_RETURN_IF_ERROR(Turn());
    if (!events_.empty()) {
      Event event = std::move(events_.front());
      events_.pop_front();
      return event;
    }
    const double left = timeout_s <= 0 ? 0 : timeout_s - waited.Now();
    if (left <= 0) return std::nullopt;
    TANDEM_ASSIGN_OR_RETURN(const bool quiet, Wait({{&calls_}}, std::min(left, options_.silence_s / 4)));
    if (!quiet) return std::nullopt;
  }
}

// Takes what has come in, then looks who has been silent.
absl::Status ServerImpl::Turn() {
  const double now = clock_.Now();
  const double away = now - std::exchange(last_turn_, now);
  if (away > options_.silence_s / 2) inbox_.Forgive(away);
  for (int i = 0; i < kDrainAtOnce; ++i) {
    TANDEM_ASSIGN_OR_RETURN(std::optional<Parts> parts, calls_.Receive());
    if (!parts.has_value()) {
      PushLost(now);  // only now: a sign of life may have been among the messages
      break;
    }
    Handle(*std::move(parts));
  }
  return absl::OkStatus();
}

void ServerImpl::Handle(Parts parts) {
  const Frame routing_id = parts.front();
  parts.erase(parts.begin());
  absl::StatusOr<Packet> packet = DecodePacket(std::move(parts));
  if (!packet.ok()) return Malformed(routing_id, {}, packet.status().message());
  const proto::Header& header = packet->header;
  if (absl::Status format = CheckFormat(header); !format.ok()) return Malformed(routing_id, header, format.message());
  if (*routing_id != RoutingId(header.session())) {
    return Malformed(routing_id, header, "the message is not of the session that its connection belongs to");
  }
  if (absl::Status body = CheckBody(header); !body.ok()) return Malformed(routing_id, header, body.message());
  if (header.has_hello()) return HandleHello(header);
  HandleOther(*std::move(packet));
}

void ServerImpl::HandleHello(const proto::Header& header) {
  const double now = clock_.Now();
  const proto::Hello& hello = header.hello();
  const SessionId session = header.session();
  absl::Status status = CheckHello(hello);
  bool begins = false;
  if (status.ok()) {
    const auto joined = inbox_.Join(session, hello, SilenceOf(hello), now);
    status = joined.status();
    begins = joined.ok() && *joined;
  }
  if (!status.ok()) {
    if (WorthLogging(++refused_)) LogWarning(endpoint_, ": refused: ", status.message());
    return Refuse(MakeFrame(RoutingId(session)), session, 0, status.message());
  }
  PushLost(now);
  Packet welcome;
  welcome.header.set_session(session);
  *welcome.header.mutable_welcome() = welcome_;
  welcome.header.mutable_welcome()->set_clock_s(now);
  Send(session, welcome);
  if (begins) events_.push_back({Event::kJoined, session, hello, 0, {}, ""});
}

void ServerImpl::HandleOther(Packet packet) {
  const SessionId session = packet.header.session();
  const uint64_t call = packet.header.call();
  const auto verdict = inbox_.Receive(packet.header, clock_.Now());
  if (absl::IsNotFound(verdict.status())) {
    return Refuse(MakeFrame(RoutingId(session)), session, 0, verdict.status().message());
  }
  if (!verdict.ok()) return Malformed(MakeFrame(RoutingId(session)), packet.header, verdict.status().message());
  switch (verdict->kind) {
    case Verdict::kHandOut:
      events_.push_back({Event::kCall, session, *inbox_.peer(session), call, std::move(packet), ""});
      return;
    case Verdict::kRepeat:
      return Send(session, *verdict->reply);
    case Verdict::kStillWaiting: {
      Packet answer;
      answer.header.set_session(session);
      answer.header.set_call(call);
      answer.header.mutable_still_waiting()->set_missing(verdict->missing);
      return Send(session, answer);
    }
    case Verdict::kNothing:
      if (call > 0) return;
      if (packet.header.has_goodbye()) {
        proto::Hello peer = *inbox_.peer(session);
        inbox_.Leave(session);
        events_.push_back({Event::kLeft, session, std::move(peer), 0, {}, ""});
        return;
      }
      Packet answer;  // so that the client knows that the exchange lives
      answer.header.set_session(session);
      answer.header.mutable_heartbeat();
      Send(session, answer);
      events_.push_back({Event::kHeartbeat, session, *inbox_.peer(session), 0, std::move(packet), ""});
      return;
  }
}

absl::Status ServerImpl::CheckHello(const proto::Hello& hello) const {
  if (hello.name().empty()) return absl::FailedPreconditionError("a hello without a name");
  const auto differs = [&](absl::string_view what, const auto& theirs, const auto& ours) {
    return absl::FailedPreconditionError(
        absl::StrCat(what, " of ", hello.name(), " is ", theirs, ", the exchange has ", ours));
  };
  if (hello.protocol() != kProtocol) return differs("protocol", hello.protocol(), kProtocol);
  if (hello.build() != options_.build) return differs("build", hello.build(), options_.build);
  if (hello.config_digest() == options_.config_digest) return absl::OkStatus();
  return differs("configuration digest", hello.config_digest(), options_.config_digest);
}

absl::Status ServerImpl::CheckBody(const proto::Header& header) const {
  const bool call = header.call() > 0;
  if (call ? IsCall(header) : header.has_hello() || header.has_heartbeat() || header.has_goodbye())
    return absl::OkStatus();
  const int body = header.body_case();
  return absl::InvalidArgumentError(
      absl::StrCat("a message with body ", body, " cannot be ", call ? "a call" : "sent without a call's number"));
}

void ServerImpl::Malformed(const Frame& routing_id, const proto::Header& header, absl::string_view why) {
  ++malformed_;
  if (WorthLogging(malformed_)) {
    const proto::Hello* peer = inbox_.peer(header.session());
    LogWarning(endpoint_, ": malformed message ", malformed_, " (from ", peer == nullptr ? "a stranger" : peer->name(),
               "): ", std::string(why));
  }
  Refuse(routing_id, header.session(), header.call(), why);
}

void ServerImpl::Refuse(const Frame& routing_id, SessionId session, uint64_t call, absl::string_view reason) {
  Packet refusal;
  refusal.header.set_session(session);
  refusal.header.set_call(call);
  refusal.header.mutable_refusal()->set_reason(std::string(reason));
  Send(routing_id, refusal);
}

void ServerImpl::Reply(SessionId session, uint64_t call, proto::Header header, std::vector<Frame> frames) {
  header.set_session(session);
  header.set_call(call);
  Packet packet{std::move(header), std::move(frames)};
  if (absl::Status size = CheckPartSizes(packet, options_.max_message_bytes); !size.ok()) {
    packet.frames.clear();
    packet.header.mutable_refusal()->set_reason(
        absl::StrCat("the answer cannot be sent: ", std::string(size.message())));
  }
  if (const Packet* reply = inbox_.Answer(session, call, std::move(packet)); reply != nullptr && !recalling_) {
    Send(session, *reply);
  }
}

void ServerImpl::Announce(const proto::Announcement& announcement) {
  Packet packet;
  *packet.header.mutable_announcement() = announcement;
  const auto sent = announcements_.Send(EncodePacket(packet));
  if (!sent.ok()) LogWarning(endpoint_, ": announcement: ", sent.status().ToString());
}

void ServerImpl::Send(Frame routing_id, const Packet& packet) {
  Parts parts = EncodePacket(packet);
  parts.insert(parts.begin(), std::move(routing_id));
  const auto sent = calls_.Send(parts);  // to a peer that is not connected: dropped, it will ask again
  if (!sent.ok()) LogWarning(endpoint_, ": ", sent.status().ToString());
}

void ServerImpl::PushLost(double now) {
  for (Lost& lost : inbox_.TakeLost(now)) {
    LogInfo(endpoint_, ": lost ", lost.peer.name(), ": ", lost.why);
    Refuse(MakeFrame(RoutingId(lost.session)), lost.session, 0, absl::StrCat("the session was lost: ", lost.why));
    events_.push_back({Event::kLost, lost.session, std::move(lost.peer), 0, {}, std::move(lost.why)});
  }
}

struct Bound {
  std::string endpoint;
  Socket calls;
  Socket announcements;
};

absl::StatusOr<Bound> BindBoth(zmq::context_t& context, const std::string& endpoint, const SocketOptions& options) {
  TANDEM_ASSIGN_OR_RETURN(Socket calls, Socket::Make(context, zmq::socket_type::router, options));
  TANDEM_ASSIGN_OR_RETURN(Socket announcements, Socket::Make(context, zmq::socket_type::pub, options));
  TANDEM_RETURN_IF_ERROR(CheckIpcFree(endpoint));
  TANDEM_ASSIGN_OR_RETURN(std::string bound, calls.Bind(endpoint));
  const std::string announce = AnnounceEndpoint(bound);
  absl::Status status = CheckIpcFree(announce);
  if (status.ok()) status = announcements.Bind(announce).status();
  TANDEM_RETURN_IF_ERROR(Annotate(status, absl::StrCat(endpoint, " (where announcements go)")));
  return Bound{std::move(bound), std::move(calls), std::move(announcements)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Bind(zmq::context_t& context, const Clock& clock,
                                                     ServerOptions options) {
  TANDEM_RETURN_IF_ERROR(CheckEndpoint(options.endpoint, /*may_choose_port=*/true));
  const SocketOptions socket_options{"", options.max_message_bytes, options.silence_s, /*linger_ms=*/1000};
  const bool chosen_port = absl::StartsWith(options.endpoint, "tcp://") && absl::EndsWith(options.endpoint, ":*");
  absl::StatusOr<Bound> bound = BindBoth(context, options.endpoint, socket_options);
  for (int i = 1; i < kPortAttempts && chosen_port && !bound.ok(); ++i) {
    bound = BindBoth(context, options.endpoint, socket_options);
  }
  if (!bound.ok()) return bound.status();
  return std::make_unique<ServerImpl>(clock, std::move(options), std::move(bound->endpoint), std::move(bound->calls),
                                      std::move(bound->announcements));
}

}  // namespace tandem::wire
