#include "proto/wire/virtual_network.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"

namespace tandem::wire {
namespace {

constexpr double kLookForStop_s = 1;  // `stop` is set by whoever has no virtual time

// What is on its way to a thread, in the order of arrival.
template <typename Message>
class Mailbox {
 public:
  explicit Mailbox(VirtualTime& time) : time_(time), owner_(time.current()) {}

  void Send(double arrives_s, Message message) {
    messages_.emplace(std::pair(arrives_s, next_++), std::move(message));
    time_.Wake(owner_, arrives_s);
  }

  // The first that has arrived.
  std::optional<Message> Take() {
    if (messages_.empty() || messages_.begin()->first.first > time_.now()) return std::nullopt;
    Message message = std::move(messages_.begin()->second);
    messages_.erase(messages_.begin());
    return message;
  }

  void Wake() { time_.Wake(owner_, time_.now()); }
  // Waits for one that is not here yet, `until` at most, or until Wake.
  void Wait(double until) {
    if (!messages_.empty()) until = std::min(until, messages_.begin()->first.first);
    time_.Wait(until);
  }

 private:
  VirtualTime& time_;
  const size_t owner_;
  uint64_t next_ = 0;
  std::map<std::pair<double, uint64_t>, Message> messages_;
};

// The first that arrives within so many seconds.
template <typename Message>
std::optional<Message> TakeWithin(double seconds, VirtualTime& time, Mailbox<Message>* mailbox) {
  for (const double until = time.now() + seconds;;) {
    if (std::optional<Message> message = mailbox->Take()) return message;
    if (time.now() >= until) return std::nullopt;
    mailbox->Wait(until);
  }
}

}  // namespace

class VirtualServer final : public Server {
 public:
  VirtualServer(VirtualNetwork* network, const Clock& clock, ServerOptions options)
      : network_(*network), clock_(clock), options_(std::move(options)), events_(network->time_) {
    network_.server_ = this;
  }
  ~VirtualServer() override;

  std::string endpoint() const override { return options_.endpoint; }
  void set_welcome(proto::Welcome welcome) override { welcome_ = std::move(welcome); }
  void Recall(const Event&) override {}  // a run in virtual time is one process, and dies whole
  absl::StatusOr<std::optional<Event>> Poll(double timeout_s) override {
    return TakeWithin(timeout_s, network_.time_, &events_);
  }
  void Reply(SessionId session, uint64_t call, proto::Header header, std::vector<Frame> frames) override;
  void set_missing(SessionId session, uint64_t call, std::string missing) override;
  void Announce(const proto::Announcement& announcement) override;

  proto::Welcome MakeWelcome() const {
    proto::Welcome welcome = welcome_;
    welcome.set_clock_s(clock_.Now());
    return welcome;
  }
  void Send(double arrives_s, Event event) { events_.Send(arrives_s, std::move(event)); }

 private:
  VirtualNetwork& network_;
  const Clock& clock_;
  const ServerOptions options_;
  proto::Welcome welcome_;
  Mailbox<Event> events_;
};

class VirtualClient final : public Client {
 public:
  VirtualClient(VirtualNetwork* network, ClientOptions options)
      : network_(*network),
        options_(std::move(options)),
        welcome_(network->server_->MakeWelcome()),
        session_(++network->last_session_),
        arrivals_(network->time_) {
    network_.clients_[session_] = this;
    Say(Event::kJoined, {});
  }
  ~VirtualClient() override {
    network_.clients_.erase(session_);
    Say(Event::kLeft, {});
  }

  const proto::Welcome& welcome() const override { return welcome_; }
  uint64_t Start(proto::Header header, std::vector<Frame> frames, std::string what, double deadline_s) override;
  absl::StatusOr<std::optional<Arrival>> Poll(double timeout_s) override;
  absl::StatusOr<Packet> Call(proto::Header header, std::vector<Frame> frames, std::string what,
                              double deadline_s) override;
  void set_heartbeat(proto::Heartbeat heartbeat) override {
    Packet packet;
    *packet.header.mutable_heartbeat() = std::move(heartbeat);
    Say(Event::kHeartbeat, std::move(packet));
  }
  size_t pending() const override { return open_.size(); }

  void Wake() { arrivals_.Wake(); }
  void Send(double arrives_s, Arrival arrival) { arrivals_.Send(arrives_s, std::move(arrival)); }
  void set_missing(uint64_t call, std::string missing) {
    if (const auto open = open_.find(call); open != open_.end()) open->second.missing = std::move(missing);
  }

 private:
  struct Open {
    std::string what, missing;
    double asked_s, until_s;
  };

  void Say(Event::Kind kind, Packet packet, uint64_t call = 0);
  // Whether the arrival is of use: an announcement, or the answer to a call that is still waited for.
  bool Close(const Arrival& arrival) { return arrival.call == 0 || open_.erase(arrival.call) > 0; }
  absl::Status Check();

  VirtualNetwork& network_;
  const ClientOptions options_;
  const proto::Welcome welcome_;
  const SessionId session_;
  uint64_t last_call_ = 0;
  std::map<uint64_t, Open> open_;
  Mailbox<Arrival> arrivals_;
  std::deque<Arrival> kept_;  // that came while the answer to another call was waited for
};

VirtualServer::~VirtualServer() {
  network_.server_ = nullptr;
  for (const auto& [session, client] : network_.clients_) {
    client->Wake();  // whoever waits finds out
  }
}

void VirtualServer::Reply(SessionId session, uint64_t call, proto::Header header, std::vector<Frame> frames) {
  const auto client = network_.clients_.find(session);
  if (client == network_.clients_.end()) return;
  Packet packet{std::move(header), std::move(frames)};
  packet.header.set_session(session);
  packet.header.set_call(call);
  const double arrives_s = network_.ArrivalOf(packet);
  client->second->Send(arrives_s, {call, std::move(packet)});
}

void VirtualServer::set_missing(SessionId session, uint64_t call, std::string missing) {
  const auto client = network_.clients_.find(session);
  if (client != network_.clients_.end()) client->second->set_missing(call, std::move(missing));
}

void VirtualServer::Announce(const proto::Announcement& announcement) {
  for (const auto& [session, client] : network_.clients_) {
    Packet packet;
    *packet.header.mutable_announcement() = announcement;
    const double arrives_s = network_.ArrivalOf(packet);
    client->Send(arrives_s, {0, std::move(packet)});
  }
}

void VirtualClient::Say(Event::Kind kind, Packet packet, uint64_t call) {
  if (network_.server_ == nullptr) return;
  packet.header.set_session(session_);
  if (call > 0) packet.header.set_call(call);
  const double arrives_s = network_.ArrivalOf(packet);
  network_.server_->Send(arrives_s, {kind, session_, options_.hello, call, std::move(packet), ""});
}

uint64_t VirtualClient::Start(proto::Header header, std::vector<Frame> frames, std::string what, double deadline_s) {
  const double now = network_.time_.now();
  const uint64_t call = ++last_call_;
  open_[call] = {std::move(what), "", now, now + (deadline_s > 0 ? deadline_s : options_.deadline_s)};
  Say(Event::kCall, {std::move(header), std::move(frames)}, call);
  return call;
}

// Whether the exchange is still there, and every call within its deadline.
absl::Status VirtualClient::Check() {
  if (network_.server_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("the exchange at ", options_.endpoint, " has left"));
  }
  for (auto open = open_.begin(); open != open_.end(); ++open) {
    if (network_.time_.now() < open->second.until_s) continue;
    const Open overdue = std::move(open->second);
    open_.erase(open);
    return absl::DeadlineExceededError(
        absl::StrFormat("%s: no answer from the exchange at %s within %.1f s; %s", overdue.what, options_.endpoint,
                        overdue.until_s - overdue.asked_s,
                        overdue.missing.empty() ? "it did not say what is missing" : overdue.missing));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Arrival>> VirtualClient::Poll(double timeout_s) {
  for (const double until = network_.time_.now() + timeout_s;;) {
    if (!kept_.empty()) {
      Arrival arrival = std::move(kept_.front());
      kept_.pop_front();
      return arrival;
    }
    while (std::optional<Arrival> arrival = arrivals_.Take()) {
      if (Close(*arrival)) return arrival;
    }
    TANDEM_RETURN_IF_ERROR(Check());
    if (network_.time_.now() >= until) return std::nullopt;
    arrivals_.Wait(until);
  }
}

absl::StatusOr<Packet> VirtualClient::Call(proto::Header header, std::vector<Frame> frames, std::string what,
                                           double deadline_s) {
  const uint64_t call = Start(std::move(header), std::move(frames), what, deadline_s);
  std::optional<double> give_up_s;  // once `stop` is set: when
  while (true) {
    while (std::optional<Arrival> arrival = arrivals_.Take()) {
      if (!Close(*arrival)) continue;
      if (arrival->call != call) {
        kept_.push_back(*std::move(arrival));
        continue;
      }
      if (!arrival->packet.header.has_refusal()) return std::move(arrival->packet);
      return absl::FailedPreconditionError(absl::StrCat(what, ": ", arrival->packet.header.refusal().reason()));
    }
    TANDEM_RETURN_IF_ERROR(Check());
    const double now = network_.time_.now();
    if (options_.stop != nullptr && *options_.stop) {
      if (!give_up_s) give_up_s = now + 2 * options_.resend_s;
      if (now >= *give_up_s) {
        open_.erase(call);
        return absl::CancelledError(absl::StrCat(what, ": told to stop before the exchange answered"));
      }
    }
    arrivals_.Wait(std::min(open_.at(call).until_s, now + kLookForStop_s));
  }
}

double VirtualNetwork::ArrivalOf(const Packet& packet) const {
  size_t bytes = 0;
  for (const Frame& frame : packet.frames) bytes += frame->size();
  return time_.now() + times_.message_s + times_.s_per_frame_byte * static_cast<double>(bytes);
}

absl::StatusOr<std::unique_ptr<Client>> VirtualNetwork::Connect(const Clock&, ClientOptions options) {
  const double until = time_.now() + options.connect_s;
  while (server_ == nullptr) {
    if (time_.now() >= until) {
      return absl::UnavailableError(absl::StrFormat("%s: nobody answered %s within %g s", options.endpoint,
                                                    options.hello.name(), options.connect_s));
    }
    if (options.stop != nullptr && *options.stop) {
      return absl::CancelledError(absl::StrCat("interrupted while joining ", options.endpoint));
    }
    time_.Wait(std::min(until, time_.now() + kLookForStop_s));
  }
  return std::make_unique<VirtualClient>(this, std::move(options));
}

absl::StatusOr<std::unique_ptr<Server>> VirtualNetwork::Bind(const Clock& clock, ServerOptions options) {
  if (server_ != nullptr) return absl::AlreadyExistsError(absl::StrCat(options.endpoint, ": address already in use"));
  return std::make_unique<VirtualServer>(this, clock, std::move(options));
}

}  // namespace tandem::wire
