// The exchange's side of the wire: ROUTER for calls, PUB for announcements.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "proto/message.pb.h"
#include "proto/wire/inbox.h"
#include "proto/wire/packet.h"

namespace zmq {
class context_t;
}

namespace tandem::wire {

struct ServerOptions {
  std::string endpoint;  // tcp://HOST:* and inproc work too; endpoint() says what was bound
  std::string build;     // a hello of another protocol, build or configuration digest is refused, and told why
  std::string config_digest;
  double silence_s = 10;           // a worker or observer that is not heard of for so long is lost
  double trainer_silence_s = 300;  // a trainer computes for long without a word
  uint64_t max_message_bytes = uint64_t{1} << 30;
};

struct Event {
  enum Kind { kJoined, kCall, kHeartbeat, kLost, kLeft } kind;  // kLeft: it said goodbye
  SessionId session;
  proto::Hello peer;  // who: as it said in its hello
  uint64_t call = 0;  // kCall
  Packet packet;      // kCall, kHeartbeat
  std::string why;    // kLost: "silent for 10.0 s", "joined again as another session"
};

// Hands out every call once, whatever the network repeats, and repeats the reply when the call is repeated. A malformed
// message is answered with a refusal that says what is wrong, logged and otherwise ignored: it never ends the server.
// Silence goes by the clock, and only while Poll is called: a server that was away does not blame its peers.
// Not thread-safe: one thread owns a server.
class Server {
 public:
  // kAlreadyExists or kInvalidArgument name the endpoint: "tcp://*:5555: address already in use".
  static absl::StatusOr<std::unique_ptr<Server>> Bind(zmq::context_t& context, const Clock& clock,
                                                      ServerOptions options);
  // Replies that were sent go out for up to a second, as long as the context lives.
  virtual ~Server() = default;

  virtual std::string endpoint() const = 0;

  // The welcome that is sent to whoever joins from now on. clock_s is filled in when it is sent.
  virtual void set_welcome(proto::Welcome welcome) = 0;

  // An event (no heartbeat) that a server before this one handed out: this one goes on with its sessions and calls, as
  // if it had done so. Until the first Poll, replies are kept and not sent; who has not got one will ask again.
  virtual void Recall(const Event& event) = 0;

  // The next event; nullopt after timeout_s of real time (0: does not block), or when a signal came. kCancelled: the
  // context was closed.
  virtual absl::StatusOr<std::optional<Event>> Poll(double timeout_s) = 0;

  // Answers a call, now or later; may be called once for each. Never blocks: what a peer does not take is kept for it
  // until it asks again or is lost. Nothing happens when the session is lost or has given the call up.
  virtual void Reply(SessionId session, uint64_t call, proto::Header header, std::vector<Frame> frames = {}) = 0;

  // What is said to a peer that asks again for a call that is not answered yet: "7 of 32 groups are missing: worker-1
  // plays them".
  virtual void set_missing(SessionId session, uint64_t call, std::string missing) = 0;

  virtual void Announce(const proto::Announcement& announcement) = 0;

  // Messages so far that made no sense.
  virtual uint64_t malformed() const { return 0; }
};

}  // namespace tandem::wire
