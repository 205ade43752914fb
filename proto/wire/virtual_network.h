// The network between the threads of a VirtualTime: messages take the time that they are given, none is lost, repeated
// or overtaken by one that was sent later to the same peer and takes as long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/virtual_time.h"
#include "proto/wire/network.h"

namespace tandem::wire {

class VirtualServer;
class VirtualClient;

struct MessageTimes {
  double message_s = 0;         // every message takes so long
  double s_per_frame_byte = 0;  // and so much longer for each byte of its frames
};

// One server at a time. Clients and the server are made, used and destroyed by the thread that they belong to, in its
// turns. Timeouts of Connect and Poll, deadlines and all else are in virtual time.
class VirtualNetwork final : public Network {
 public:
  VirtualNetwork(VirtualTime& time, MessageTimes times) : time_(time), times_(times) {}

  // Errors: as Client::Connect and Client::Poll, but for those that only a real network can cause. kUnavailable once
  // the server is gone.
  absl::StatusOr<std::unique_ptr<Client>> Connect(const Clock& clock, ClientOptions options) override;
  absl::StatusOr<std::unique_ptr<Server>> Bind(const Clock& clock, ServerOptions options) override;
  std::unique_ptr<Clock> MakeClock(double offset) override { return time_.MakeClock(offset); }

 private:
  friend VirtualServer;
  friend VirtualClient;

  // When a message that is sent now arrives.
  double ArrivalOf(const Packet& packet) const;

  VirtualTime& time_;
  const MessageTimes times_;
  VirtualServer* server_ = nullptr;
  std::map<SessionId, VirtualClient*> clients_;
  SessionId last_session_ = 0;
};

}  // namespace tandem::wire
