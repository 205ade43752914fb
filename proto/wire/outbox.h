// The client's half of "executed at most once, answered exactly once": calls wait here, and are sent again, until they
// are answered or their deadline is over. No sockets and no clock: `now` is passed in, in seconds.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "proto/wire/call_set.h"
#include "proto/wire/packet.h"

namespace tandem::wire {

// A call that was given up.
struct Overdue {
  uint64_t call;
  std::string what;  // as given to Add
  double waited_s;
  std::string missing;  // what the server said last; empty: it said nothing
};

// Thread-compatible.
class Outbox {
 public:
  explicit Outbox(double resend_s) : resend_s_(resend_s) {}

  // Adds a call and returns its number, which is also written into its header. It is due at once.
  uint64_t Add(Packet packet, std::string what, double deadline_s, double now);

  // Hands every packet that is due to `send`, with done_below and also_done of this moment. It is due again after
  // resend_s. Once the server has said that it has the call, it goes out without its frames.
  void SendDue(double now, absl::FunctionRef<void(const Packet&)> send);

  // A header from the server with call > 0. True: it is the answer to a call that waits here, which ends the call.
  // False: it says that the call still waits, or was answered before.
  bool Take(const proto::Header& header);

  // Ends a call without an answer.
  void Drop(uint64_t call);

  // Gives up the oldest call whose deadline is over.
  std::optional<Overdue> TakeOverdue(double now);

  // Nothing is due to be sent before this moment, and no deadline is over. May be too early.
  double next_send() const { return next_send_; }
  double next_deadline() const { return next_deadline_; }

  const CallSet& done() const { return done_; }
  size_t size() const { return pending_.size(); }

 private:
  struct Pending {
    Packet packet;
    std::string what;
    std::string missing;
    double started;
    double deadline;
    double send_at;
  };
  static constexpr double kNever = std::numeric_limits<double>::infinity();

  double resend_s_;
  uint64_t last_call_ = 0;
  std::map<uint64_t, Pending> pending_;
  CallSet done_;
  double next_send_ = kNever;
  double next_deadline_ = kNever;
};

}  // namespace tandem::wire
