// The server's half of "executed at most once, answered exactly once": who is there, which calls were handed out, and
// the replies until the client has them. No sockets and no clock: `now` is passed in, in seconds.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/wire/call_set.h"
#include "proto/wire/packet.h"

namespace tandem::wire {

using SessionId = uint64_t;

// A session that ended.
struct Lost {
  SessionId session;
  proto::Hello peer;
  std::string why;
};

// What to do with a message.
struct Verdict {
  enum Kind {
    kNothing,       // a heartbeat, or a call whose answer the client already has
    kHandOut,       // a call that was never seen before
    kRepeat,        // a call that was answered: send `reply` again
    kStillWaiting,  // a call that was handed out and not answered: say what is `missing`
  } kind;
  const Packet* reply = nullptr;  // valid until the next call of a method that is not const
  std::string missing;
};

// Memory is bounded by what clients have open: a session holds at most as many calls as its client had unanswered at
// once. Thread-compatible.
class Inbox {
 public:
  static constexpr size_t kMaxOpenCalls = 1 << 14;  // of one session
  static constexpr size_t kLostRemembered = 1024;   // sessions

  // A hello. True: a session begins, and the one that had the same name until now is lost. False: a repeated hello of a
  // session that is there. kFailedPrecondition: that session was lost, which is final.
  absl::StatusOr<bool> Join(SessionId session, const proto::Hello& peer, double silence_s, double now);

  // A call (header.call > 0) or a heartbeat (0). kNotFound: the session is not here, and why. kInvalidArgument,
  // kResourceExhausted: the header makes no sense, or the session has too many calls open.
  absl::StatusOr<Verdict> Receive(const proto::Header& header, double now);

  // Keeps the reply of a call that was handed out, until the client has it, and returns it to be sent; nullptr when
  // nobody waits for it any more. At most once for each call.
  const Packet* Answer(SessionId session, uint64_t call, Packet reply);

  void SetMissing(SessionId session, uint64_t call, std::string missing);

  // The session is over by its client's wish; true when it was there.
  bool Leave(SessionId session);

  // The session was lost, as somebody has been told already: TakeLost does not tell again.
  void Lose(SessionId session, std::string why);

  // The sessions that were lost since the last time: replaced, or not heard of for silence_s.
  std::vector<Lost> TakeLost(double now);

  // The server itself was away for so long: that was not the peers' silence.
  void Forgive(double seconds);

  // nullptr: not here.
  const proto::Hello* peer(SessionId session) const;
  size_t sessions() const { return sessions_.size(); }
  size_t open_calls(SessionId session) const;  // handed out, and not known to be over

 private:
  struct Call {
    bool answered = false;
    Packet reply;
    std::string missing;
  };
  struct Session {
    proto::Hello peer;
    double silence_s;
    double heard;
    CallSet done;
    std::map<uint64_t, Call> calls;
  };

  Call* Find(SessionId session, uint64_t call);
  std::map<SessionId, Session>::iterator End(std::map<SessionId, Session>::iterator session, std::string why);
  void Remember(SessionId session, std::string why);
  std::string WhyNotHere(SessionId session) const;

  std::map<SessionId, Session> sessions_;
  std::vector<Lost> lost_;
  std::deque<std::pair<SessionId, std::string>> lost_before_;  // newest last
};

}  // namespace tandem::wire
