// A ZeroMQ socket. The one place where ZeroMQ's errors become Status.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <zmq.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/wire/frame.h"

namespace tandem::wire {

struct SocketOptions {
  std::string routing_id;  // DEALER only
  uint64_t max_message_bytes;
  double silence_s;  // over tcp, a connection without a sign of life for so long is closed (ZMTP heartbeats)
  int linger_ms;     // how long what was sent may outlive the socket
};

// Sends and receives without blocking. There is no limit on what is queued, but for PUB and SUB, which lose what is
// over ZeroMQ's default. Errors: kCancelled when the context was closed, kInternal for what should not happen.
// Not thread-safe.
class Socket {
 public:
  static absl::StatusOr<Socket> Make(zmq::context_t& context, zmq::socket_type type, const SocketOptions& options);

  // Returns the endpoint that was bound. kAlreadyExists: in use; kInvalidArgument: it cannot be such an endpoint.
  // Both name it.
  absl::StatusOr<std::string> Bind(const std::string& endpoint);
  // Goes on trying in the background.
  absl::Status Connect(const std::string& endpoint);

  // False: nothing was sent, since nobody is connected.
  absl::StatusOr<bool> Send(const Parts& parts);
  // The next message; nullopt when there is none. Whole messages only.
  absl::StatusOr<std::optional<Parts>> Receive();

  zmq::socket_t& raw() { return socket_; }

 private:
  Socket(zmq::socket_t socket, double silence_s) : socket_(std::move(socket)), silence_s_(silence_s) {}

  zmq::socket_t socket_;
  double silence_s_;
};

struct WaitItem {
  Socket* socket;
  bool writable = false;  // wait also until something can be sent
};

// Blocks until one of the sockets has something, or timeout_s of real time is over. False: a signal came.
absl::StatusOr<bool> Wait(std::initializer_list<WaitItem> items, double timeout_s);

}  // namespace tandem::wire
