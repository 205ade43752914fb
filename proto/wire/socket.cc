#include "proto/wire/socket.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "base/status.h"
#ifdef TANDEM_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif

namespace tandem::wire {
namespace {

// What is written before a send can be read after the receive: ZeroMQ sees to that with atomics, which a thread
// sanitizer does not see in a library that was compiled without it. Over inproc the bytes are those that the sender
// wrote.
#ifdef TANDEM_THREAD_SANITIZER
void HandOver(const zmq::message_t& message) { __tsan_release(const_cast<void*>(message.data())); }
void TakeOver(const zmq::message_t& message) { __tsan_acquire(const_cast<void*>(message.data())); }
#else
void HandOver(const zmq::message_t&) {}
void TakeOver(const zmq::message_t&) {}
#endif

constexpr size_t kCopyBelow = 1024;  // bytes; larger frames are lent to ZeroMQ

absl::Status FromZmq(const zmq::error_t& error, const std::string& doing) {
  const std::string text =
      absl::StrCat(doing, ": ", error.num() == EADDRINUSE ? "address already in use" : error.what());
  switch (error.num()) {
    case ETERM:
      return absl::CancelledError(absl::StrCat(doing, ": the ZeroMQ context was closed"));
    case EADDRINUSE:
      return absl::AlreadyExistsError(text);
    case EINVAL:
    case EPROTONOSUPPORT:
    case ENOCOMPATPROTO:
    case EADDRNOTAVAIL:
    case ENODEV:
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case ENAMETOOLONG:
      return absl::InvalidArgumentError(text);
    default:
      return absl::InternalError(text);
  }
}

// A frame on its way. ZeroMQ gives it back on a thread of its own; the flag makes that visible to the memory model,
// since ZeroMQ's own synchronisation is not to a thread sanitizer.
struct Loan {
  Frame frame;
  std::atomic<bool> lent{false};
};

void GiveBack(void*, void* hint) {
  auto* loan = static_cast<Loan*>(hint);
  loan->lent.load(std::memory_order_acquire);
  delete loan;
}

zmq::message_t ToMessage(const Frame& frame) {
  if (frame->size() < kCopyBelow) return zmq::message_t(frame->data(), frame->size());
  auto* loan = new Loan{frame};
  loan->lent.store(true, std::memory_order_release);
  return zmq::message_t(const_cast<char*>(frame->data()), frame->size(), &GiveBack, loan);
}

Frame CopyPart(const zmq::message_t& message) {
  TakeOver(message);
  return MakeFrame(std::string(static_cast<const char*>(message.data()), message.size()));
}

void SetOptions(zmq::socket_t& socket, zmq::socket_type type, const SocketOptions& options) {
  socket.set(zmq::sockopt::linger, options.linger_ms);
  socket.set(zmq::sockopt::maxmsgsize, static_cast<int64_t>(options.max_message_bytes));
  socket.set(zmq::sockopt::ipv6, false);
  socket.set(zmq::sockopt::reconnect_ivl, 20);
  socket.set(zmq::sockopt::reconnect_ivl_max, 500);
  socket.set(zmq::sockopt::connect_timeout, 5000);
  if (type == zmq::socket_type::dealer) {
    socket.set(zmq::sockopt::routing_id, options.routing_id);
    socket.set(zmq::sockopt::immediate, true);  // queue only for connections that stand
  }
  if (type == zmq::socket_type::router) socket.set(zmq::sockopt::router_handover, true);  // a peer that reconnects
  if (type == zmq::socket_type::dealer || type == zmq::socket_type::router) {
    socket.set(zmq::sockopt::sndhwm, 0);
    socket.set(zmq::sockopt::rcvhwm, 0);
  }
  if (type == zmq::socket_type::sub) socket.set(zmq::sockopt::subscribe, "");
}

// Only tcp can lose a peer without noticing. For each message that comes in, ZeroMQ looks through the timers of all
// connections: with a thousand of them that took a sixth of the exchange's time.
void SetHeartbeats(zmq::socket_t& socket, const std::string& endpoint, double silence_s) {
  if (!absl::StartsWith(endpoint, "tcp://")) return;
  // The unit of the TTL is a tenth of a second.
  const int silence_ms = std::clamp(static_cast<int>(std::ceil(silence_s * 1000)), 100, 6'000'000);
  socket.set(zmq::sockopt::heartbeat_ivl, std::max(silence_ms / 4, 25));
  socket.set(zmq::sockopt::heartbeat_timeout, silence_ms);
  socket.set(zmq::sockopt::heartbeat_ttl, silence_ms);
}

}  // namespace

absl::StatusOr<Socket> Socket::Make(zmq::context_t& context, zmq::socket_type type, const SocketOptions& options) {
  try {
    zmq::socket_t socket(context, type);
    SetOptions(socket, type, options);
    return Socket(std::move(socket), options.silence_s);
  } catch (const zmq::error_t& error) {
    return FromZmq(error, "a ZeroMQ socket");
  }
}

absl::StatusOr<std::string> Socket::Bind(const std::string& endpoint) {
  try {
    SetHeartbeats(socket_, endpoint, silence_s_);
    socket_.bind(endpoint);
    return socket_.get(zmq::sockopt::last_endpoint);
  } catch (const zmq::error_t& error) {
    return FromZmq(error, endpoint);
  }
}

absl::Status Socket::Connect(const std::string& endpoint) {
  try {
    SetHeartbeats(socket_, endpoint, silence_s_);
    socket_.connect(endpoint);
    return absl::OkStatus();
  } catch (const zmq::error_t& error) {
    return FromZmq(error, endpoint);
  }
}

absl::StatusOr<bool> Socket::Send(const Parts& parts) {
  try {
    for (size_t i = 0; i < parts.size(); ++i) {
      const auto more = i + 1 < parts.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
      zmq::message_t message = ToMessage(parts[i]);
      HandOver(message);
      if (!socket_.send(message, zmq::send_flags::dontwait | more)) return false;
    }
    return true;
  } catch (const zmq::error_t& error) {
    if (error.num() == EINTR || error.num() == EHOSTUNREACH) return false;
    return FromZmq(error, "sending");
  }
}

absl::StatusOr<std::optional<Parts>> Socket::Receive() {
  try {
    zmq::message_t message;
    if (!socket_.recv(message, zmq::recv_flags::dontwait)) return std::nullopt;
    Parts parts = {CopyPart(message)};
    while (message.more()) {  // ZeroMQ delivers all parts or none: the rest is there
      TANDEM_CHECK(socket_.recv(message, zmq::recv_flags::none));
      parts.push_back(CopyPart(message));
    }
    return parts;
  } catch (const zmq::error_t& error) {
    if (error.num() == EINTR) return std::nullopt;
    return FromZmq(error, "receiving");
  }
}

absl::StatusOr<bool> Wait(std::initializer_list<WaitItem> items, double timeout_s) {
  std::array<zmq::pollitem_t, 4> polled;
  TANDEM_CHECK(items.size() <= polled.size());
  size_t count = 0;
  for (const WaitItem& item : items) {
    const int events = ZMQ_POLLIN | (item.writable ? ZMQ_POLLOUT : 0);
    polled[count++] = {item.socket->raw().handle(), 0, static_cast<short>(events), 0};
  }
  const double milliseconds = std::clamp(std::ceil(timeout_s * 1000), 0.0, 1e6);
  try {
    zmq::poll(polled.data(), count, std::chrono::milliseconds(static_cast<int64_t>(milliseconds)));
    return true;
  } catch (const zmq::error_t& error) {
    if (error.num() == EINTR) return false;
    return FromZmq(error, "waiting");
  }
}

}  // namespace tandem::wire
