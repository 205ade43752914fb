// A process's connection to the exchange: DEALER for calls, SUB for announcements.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "proto/message.pb.h"
#include "proto/wire/packet.h"

namespace zmq {
class context_t;
}

namespace tandem::wire {

struct ClientOptions {
  std::string endpoint;  // inproc://, ipc:// or tcp://; announcements come from AnnounceEndpoint(endpoint)
  proto::Hello hello;    // protocol is filled in
  double connect_s = 30;
  double resend_s = 2;      // a call without an answer goes out again after this
  double silence_s = 10;    // heartbeats are sent every silence_s / 4
  double deadline_s = 300;  // default deadline of a call
  uint64_t max_message_bytes = uint64_t{1} << 30;
  // Once it is set, Connect gives up, and Call does unless the answer comes within 2 resend_s. May be null.
  const std::atomic<bool>* stop = nullptr;
};

// The endpoint announcements are published on: PATH.pub for ipc, the next port for tcp, NAME.pub for inproc.
std::string AnnounceEndpoint(const std::string& endpoint);

// What came in: the answer to a call, or (call == 0) an announcement.
struct Arrival {
  uint64_t call = 0;
  Packet packet;
};

// Calls are executed at most once by the server and answered exactly once to the caller, though messages may be lost,
// repeated or reordered: a call is sent again until it is answered. Deadlines, resends and heartbeats go by the clock,
// and only while one of the methods runs; timeouts of Connect and Poll are real time. Not thread-safe: one thread owns
// a client.
class Client {
 public:
  // Blocks until WELCOME or connect_s. kUnavailable: nobody there (names the endpoint); kFailedPrecondition: refused,
  // with the reason that the exchange gave; kInvalidArgument: no such endpoint can be; kCancelled: a signal came, or
  // `stop` is set.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(zmq::context_t& context, const Clock& clock,
                                                         ClientOptions options);
  // The heartbeat that was set last still goes out, and a goodbye, when they can at once.
  virtual ~Client() = default;

  virtual const proto::Welcome& welcome() const = 0;

  // Sends a call and returns its number at once. `what` says in errors what is waited for ("batch of step 12 of
  // planner"). deadline_s <= 0: the default. A part over max_message_bytes fails the call: Poll returns
  // kResourceExhausted.
  virtual uint64_t Start(proto::Header header, std::vector<Frame> frames, std::string what, double deadline_s = 0) = 0;

  // The next arrival; nullopt after timeout_s (0: does not block), or when a signal came. Sends what is due to be sent
  // again, and heartbeats.
  // kDeadlineExceeded names the call that was waited for and what the exchange said last was missing; the call is over.
  // kUnavailable: the exchange does not know this session any more (and why), or has not answered anything for
  // max(connect_s, 3 silence_s); it stays so. kCancelled: the context was closed.
  virtual absl::StatusOr<std::optional<Arrival>> Poll(double timeout_s) = 0;

  // Start and wait for the answer, through signals too. Announcements, and answers to other calls, are kept for Poll.
  // Errors as Poll's, kFailedPrecondition with the reason when the answer is a refusal, and kCancelled when `stop` was
  // set before it came; the call is over then, and may have been executed.
  virtual absl::StatusOr<Packet> Call(proto::Header header, std::vector<Frame> frames, std::string what,
                                      double deadline_s = 0) = 0;

  // Filled into the next heartbeat, once. When the one that was set before has not gone out yet, it does now: none is
  // dropped here (the network may lose it).
  virtual void set_heartbeat(proto::Heartbeat heartbeat) = 0;

  // Calls started and not answered.
  virtual size_t pending() const = 0;
};

}  // namespace tandem::wire
