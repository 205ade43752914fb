#include "proto/wire/client.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"
#include "base/random.h"
#include "base/status.h"
#include "proto/wire/endpoint.h"
#include "proto/wire/outbox.h"
#include "proto/wire/routing_id.h"
#include "proto/wire/socket.h"

namespace tandem::wire {
namespace {

constexpr double kHelloAgain_s = 1;             // at most: a hello without an answer is sent again after resend_s
constexpr double kAnnouncementsEvery_s = 1e-3;  // how often a Poll that does not block looks for announcements
constexpr int kDrainAtOnce = 64;                // messages taken in a row before time is looked at
constexpr double kLookForStopEvery_s = 0.1;

// Not a matter of reproducibility: it must differ from every other session's.
uint64_t NewSession() {
  std::random_device device;
  const uint64_t random = (uint64_t{device()} << 32) | device();
  const auto ticks = std::chrono::system_clock::now().time_since_epoch().count();
  const uint64_t session = MixKey(MixKey(random, static_cast<uint64_t>(getpid())), static_cast<uint64_t>(ticks));
  return session == 0 ? 1 : session;
}

class ClientImpl final : public Client {
 public:
  ClientImpl(const Clock& clock, ClientOptions options, uint64_t session, Socket calls, Socket announcements)
      : clock_(clock),
        options_(std::move(options)),
        session_(session),
        calls_(std::move(calls)),
        announcements_(std::move(announcements)),
        outbox_(options_.resend_s) {}

  ~ClientImpl() override {
    if (!joined_ || !failed_.ok()) return;
    if (heartbeat_set_) (void)SendHeartbeat(clock_.Now());
    Packet packet;
    packet.header.mutable_goodbye();
    (void)SendSign(std::move(packet));
  }

  absl::Status Join();

  const proto::Welcome& welcome() const override { return welcome_; }
  uint64_t Start(proto::Header header, std::vector<Frame> frames, std::string what, double deadline_s) override;
  absl::StatusOr<std::optional<Arrival>> Poll(double timeout_s) override;
  absl::StatusOr<Packet> Call(proto::Header header, std::vector<Frame> frames, std::string what,
                              double deadline_s) override;
  void set_heartbeat(proto::Heartbeat heartbeat) override;
  size_t pending() const override { return outbox_.size(); }

 private:
  absl::Status Turn(bool with_announcements);
  absl::Status Send(const Packet& packet);
  absl::Status SendDue(double now);
  absl::Status SendHeartbeat(double now);
  absl::Status SendSign(Packet packet);
  absl::Status Drain(Socket& socket);
  absl::Status Handle(Packet packet);
  absl::Status CheckDeadlines(double now);
  absl::StatusOr<bool> WaitFor(double seconds);
  std::string Exchange() const { return absl::StrCat("the exchange at ", options_.endpoint); }
  bool Stopped() const { return options_.stop != nullptr && *options_.stop; }
  double UpToALookForStop(double wait_s) const {
    return options_.stop == nullptr ? wait_s : std::min(wait_s, kLookForStopEvery_s);
  }
  double HeartbeatEvery() const { return options_.silence_s / 4; }
  double Patience() const { return std::max(options_.connect_s, 3 * options_.silence_s); }

  const Clock& clock_;
  const ClientOptions options_;
  const uint64_t session_;
  Socket calls_;
  Socket announcements_;
  Outbox outbox_;
  proto::Welcome welcome_;
  bool joined_ = false;
  proto::Heartbeat heartbeat_;
  bool heartbeat_set_ = false;
  std::deque<Arrival> ready_;
  std::deque<absl::Status> failures_;  // of single calls
  absl::Status failed_;                // of the session: stays
  std::string garbage_;                // what was wrong with the last message that was not of this protocol
  double next_heartbeat_ = 0;
  double next_announcements_ = 0;
  double last_turn_ = 0;
  double asked_at_ = -1;  // since when the exchange has owed any sign of life; -1: it owes none
};

absl::Status ClientImpl::Join() {
  Packet hello;
  *hello.header.mutable_hello() = options_.hello;
  hello.header.mutable_hello()->set_protocol(kProtocol);
  const RealClock real;
  const double again_s = std::min(options_.resend_s, kHelloAgain_s);
  double next_hello = 0;
  while (true) {
    const double now = real.Now();
    bool sent = true;
    if (now >= next_hello) {
      hello.header.set_session(session_);
      TANDEM_ASSIGN_OR_RETURN(sent, calls_.Send(EncodePacket(hello)));
      if (sent) next_hello = now + again_s;
    }
    TANDEM_RETURN_IF_ERROR(Drain(calls_));
    if (joined_) break;
    if (now >= options_.connect_s) {
      return absl::UnavailableError(absl::StrFormat("%s: nobody answered %s within %g s%s%s", options_.endpoint,
                                                    options_.hello.name(), options_.connect_s,
                                                    garbage_.empty() ? "" : "; last came ", garbage_));
    }
    const double until = std::min(options_.connect_s, sent ? next_hello : now + again_s);
    TANDEM_ASSIGN_OR_RETURN(const bool quiet, Wait({{&calls_, /*writable=*/!sent}}, UpToALookForStop(until - now)));
    if (!quiet || Stopped()) return absl::CancelledError(absl::StrCat("interrupted while joining ", Exchange()));
  }
  last_turn_ = clock_.Now();
  next_heartbeat_ = last_turn_ + HeartbeatEvery();
  return absl::OkStatus();
}

uint64_t ClientImpl::Start(proto::Header header, std::vector<Frame> frames, std::string what, double deadline_s) {
  header.set_session(session_);
  Packet packet{std::move(header), std::move(frames)};
  const absl::Status size = CheckPartSizes(packet, options_.max_message_bytes);
  if (!size.ok()) failures_.push_back(Annotate(size, what));
  const double now = clock_.Now();
  const uint64_t call =
      outbox_.Add(std::move(packet), std::move(what), deadline_s > 0 ? deadline_s : options_.deadline_s, now);
  if (!size.ok()) {
    outbox_.Drop(call);
  } else if (absl::Status sent = SendDue(now); !sent.ok() && failed_.ok()) {
    failed_ = std::move(sent);
  }
  return call;
}

absl::StatusOr<std::optional<Arrival>> ClientImpl::Poll(double timeout_s) {
  const RealClock waited;
  for (bool woken = timeout_s > 0;; woken = true) {
    TANDEM_RETURN_IF_ERROR(Turn(/*with_announcements=*/woken));
    if (!ready_.empty()) {
      Arrival arrival = std::move(ready_.front());
      ready_.pop_front();
      return arrival;
    }
    if (timeout_s <= 0) return std::nullopt;
    const double left = timeout_s - waited.Now();
    if (left <= 0) return std::nullopt;
    TANDEM_ASSIGN_OR_RETURN(const bool quiet, WaitFor(left));
    if (!quiet) return std::nullopt;
  }
}

absl::StatusOr<Packet> ClientImpl::Call(proto::Header header, std::vector<Frame> frames, std::string what,
                                        double deadline_s) {
  const uint64_t call = Start(std::move(header), std::move(frames), what, deadline_s);
  double give_up_s = 0;  // once `stop` is set: when
  while (true) {
    TANDEM_RETURN_IF_ERROR(Turn(/*with_announcements=*/true));
    const auto answer =
        std::find_if(ready_.begin(), ready_.end(), [call](const Arrival& arrival) { return arrival.call == call; });
    if (answer != ready_.end()) {
      Packet packet = std::move(answer->packet);
      ready_.erase(answer);
      if (!packet.header.has_refusal()) return packet;
      return absl::FailedPreconditionError(absl::StrCat(what, ": ", packet.header.refusal().reason()));
    }
    if (Stopped()) {
      const double now = clock_.Now();
      if (give_up_s == 0) give_up_s = now + 2 * options_.resend_s;
      if (now >= give_up_s) {
        outbox_.Drop(call);
        return absl::CancelledError(absl::StrCat(what, ": told to stop before ", Exchange(), " answered"));
      }
    }
    TANDEM_RETURN_IF_ERROR(WaitFor(UpToALookForStop(Patience())).status());
  }
}

void ClientImpl::set_heartbeat(proto::Heartbeat heartbeat) {
  if (heartbeat_set_ && failed_.ok()) {
    if (absl::Status sent = SendHeartbeat(clock_.Now()); !sent.ok()) failed_ = std::move(sent);
  }
  heartbeat_ = std::move(heartbeat);
  heartbeat_set_ = true;
}

// All that is done between two waits. Cheap when nothing is there.
absl::Status ClientImpl::Turn(bool with_announcements) {
  if (!failed_.ok()) return failed_;
  const double now = clock_.Now();
  // Stopped and continued, or busy for long: the exchange could not be heard, which does not mean that it was silent.
  if (now - last_turn_ > Patience() / 2 && asked_at_ >= 0) asked_at_ = now;
  last_turn_ = now;
  absl::Status status = SendDue(now);
  if (status.ok()) status = Drain(calls_);
  if (status.ok() && (with_announcements || now >= next_announcements_)) {
    next_announcements_ = now + kAnnouncementsEvery_s;
    status = Drain(announcements_);
  }
  if (!status.ok()) return failed_ = status;
  return CheckDeadlines(now);
}

absl::Status ClientImpl::Send(const Packet& packet) {
  TANDEM_ASSIGN_OR_RETURN(const bool sent, calls_.Send(EncodePacket(packet)));
  if (!sent) LogDebug("no connection to ", options_.endpoint);
  if (asked_at_ < 0) asked_at_ = clock_.Now();
  return absl::OkStatus();
}

absl::Status ClientImpl::SendDue(double now) {
  absl::Status status;
  if (now >= outbox_.next_send()) outbox_.SendDue(now, [&](const Packet& packet) { status.Update(Send(packet)); });
  if (status.ok() && now >= next_heartbeat_) status = SendHeartbeat(now);
  return status;
}

absl::Status ClientImpl::SendHeartbeat(double now) {
  next_heartbeat_ = now + HeartbeatEvery();
  Packet packet;
  *packet.header.mutable_heartbeat() = std::exchange(heartbeat_, {});
  heartbeat_set_ = false;
  return SendSign(std::move(packet));
}

// Of life, or of leaving: no call.
absl::Status ClientImpl::SendSign(Packet packet) {
  packet.header.set_session(session_);
  WriteDone(outbox_.done(), &packet.header);
  return Send(packet);
}

absl::Status ClientImpl::Drain(Socket& socket) {
  for (int i = 0; i < kDrainAtOnce; ++i) {
    TANDEM_ASSIGN_OR_RETURN(std::optional<Parts> parts, socket.Receive());
    if (!parts.has_value()) break;
    absl::StatusOr<Packet> packet = DecodePacket(*std::move(parts));
    absl::Status status = packet.status();
    // A refusal is read whatever protocol the exchange speaks.
    if (status.ok() && !packet->header.has_refusal()) status = CheckFormat(packet->header);
    if (!status.ok()) {
      garbage_ = absl::StrCat("something else: ", status.message());
      LogWarning("from ", options_.endpoint, ": ", status.ToString());
      continue;
    }
    TANDEM_RETURN_IF_ERROR(Handle(*std::move(packet)));
  }
  return absl::OkStatus();
}

absl::Status ClientImpl::Handle(Packet packet) {
  proto::Header& header = packet.header;
  if (header.has_announcement()) {
    if (joined_) ready_.push_back({0, std::move(packet)});
    return absl::OkStatus();
  }
  if (header.session() != session_) return absl::OkStatus();
  asked_at_ = -1;
  if (header.call() > 0) {
    const uint64_t call = header.call();
    if (outbox_.Take(header)) ready_.push_back({call, std::move(packet)});
  } else if (header.has_welcome() && !joined_) {
    joined_ = true;
    welcome_ = header.welcome();
  } else if (header.has_refusal()) {
    const std::string& reason = header.refusal().reason();
    if (joined_)
      return absl::UnavailableError(
          absl::StrCat(Exchange(), " does not go on with ", options_.hello.name(), ": ", reason));
    return absl::FailedPreconditionError(absl::StrCat(Exchange(), " refused ", options_.hello.name(), ": ", reason));
  }
  return absl::OkStatus();
}

absl::Status ClientImpl::CheckDeadlines(double now) {
  if (!failures_.empty()) {
    absl::Status failure = std::move(failures_.front());
    failures_.pop_front();
    return failure;
  }
  if (asked_at_ >= 0 && now - asked_at_ > Patience()) {
    return failed_ =
               absl::UnavailableError(absl::StrFormat("%s has been silent for %.1f s", Exchange(), now - asked_at_));
  }
  const std::optional<Overdue> overdue = outbox_.TakeOverdue(now);
  if (!overdue.has_value()) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrFormat("%s: no answer from %s within %.1f s; %s", overdue->what, Exchange(), overdue->waited_s,
                      overdue->missing.empty() ? "it did not say what is missing" : overdue->missing));
}

// Until something comes in, or the next thing is due.
absl::StatusOr<bool> ClientImpl::WaitFor(double seconds) {
  const double next = std::min({outbox_.next_send(), outbox_.next_deadline(), next_heartbeat_});
  return Wait({{&calls_}, {&announcements_}}, std::clamp(next - clock_.Now(), 0.0, seconds));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(zmq::context_t& context, const Clock& clock,
                                                        ClientOptions options) {
  TANDEM_RETURN_IF_ERROR(CheckEndpoint(options.endpoint, /*may_choose_port=*/false));
  const uint64_t session = NewSession();
  const SocketOptions socket_options{RoutingId(session), options.max_message_bytes, options.silence_s,
                                     /*linger_ms=*/200};
  TANDEM_ASSIGN_OR_RETURN(Socket calls, Socket::Make(context, zmq::socket_type::dealer, socket_options));
  TANDEM_ASSIGN_OR_RETURN(Socket announcements, Socket::Make(context, zmq::socket_type::sub, socket_options));
  TANDEM_RETURN_IF_ERROR(calls.Connect(options.endpoint));
  TANDEM_RETURN_IF_ERROR(announcements.Connect(AnnounceEndpoint(options.endpoint)));
  auto client =
      std::make_unique<ClientImpl>(clock, std::move(options), session, std::move(calls), std::move(announcements));
  TANDEM_RETURN_IF_ERROR(client->Join());
  return client;
}

}  // namespace tandem::wire
