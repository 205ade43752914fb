// Who is connected, who has been told that the run is over, and who is missing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "proto/config.pb.h"
#include "proto/message.pb.h"
#include "proto/wire/server.h"

namespace tandem {

// Thread-compatible.
class Attendance {
 public:
  // Every rank of every policy has a seat that a trainer must take; workers come and go, but one must be there.
  // `began`: the time from which they are waited for.
  Attendance(const proto::Config& config, double began);

  void Joined(double now, wire::SessionId session, const proto::Hello& hello);
  // `how`: "has left", "was lost (silent for 10.0 s)".
  void Gone(double now, wire::SessionId session, const std::string& how);

  // Null when that session is not connected.
  const proto::Hello* Find(wire::SessionId session) const;
  // The peer's name, or "a lost peer".
  std::string Name(wire::SessionId session) const;

  // The trainers of this policy may leave now.
  void Release(const std::string& policy) { released_.insert(policy); }
  void Told(wire::SessionId session) { told_.insert(session); }
  // Whether the run goes on without that peer: it was told, or released.
  bool MayLeave(wire::SessionId session) const;
  // Whether every trainer that is connected may leave.
  bool TrainersTold() const;
  // Whether nobody is connected, but for observers.
  bool NobodyHere() const;

  // kUnavailable names whoever has been missing for transport.connect_s: "no trainer of policy executor has joined
  // within 30 s". The time runs from `began`.
  absl::Status Health(double now) const;

 private:
  struct Seat {
    std::optional<wire::SessionId> session;
    double since = 0;   // empty since
    std::string story;  // how it became empty; "" : nobody ever sat there
  };

  absl::Status Check(const Seat& seat, const std::string& what, double now) const;

  double patience_s_;
  std::map<wire::SessionId, proto::Hello> peers_;
  std::map<std::pair<std::string, uint32_t>, Seat> trainers_;  // by policy and rank
  Seat workers_;                                               // taken while one is connected
  std::set<std::string> released_;
  std::set<wire::SessionId> told_;
};

}  // namespace tandem
