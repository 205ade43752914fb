// What joins the processes of a run: sockets and the machine's time, or virtual ones (virtual_network.h).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "proto/wire/client.h"
#include "proto/wire/server.h"

namespace tandem::wire {

// Thread-safe. Outlives its clients, servers and clocks.
class Network {
 public:
  virtual ~Network() = default;
  // As Client::Connect and Server::Bind.
  virtual absl::StatusOr<std::unique_ptr<Client>> Connect(const Clock& clock, ClientOptions options) = 0;
  virtual absl::StatusOr<std::unique_ptr<Server>> Bind(const Clock& clock, ServerOptions options) = 0;
  // Shows `offset` now.
  virtual std::unique_ptr<Clock> MakeClock(double offset) = 0;
};

// Over ZeroMQ. `context` outlives it.
class ZmqNetwork final : public Network {
 public:
  explicit ZmqNetwork(zmq::context_t& context) : context_(context) {}
  absl::StatusOr<std::unique_ptr<Client>> Connect(const Clock& clock, ClientOptions options) override {
    return Client::Connect(context_, clock, std::move(options));
  }
  absl::StatusOr<std::unique_ptr<Server>> Bind(const Clock& clock, ServerOptions options) override {
    return Server::Bind(context_, clock, std::move(options));
  }
  std::unique_ptr<Clock> MakeClock(double offset) override { return std::make_unique<RealClock>(offset); }

 private:
  zmq::context_t& context_;
};

}  // namespace tandem::wire
