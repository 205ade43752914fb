// What the exchange says, to whom. The service puts it on the wire and into files; tests write it down.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "exchange/arrived_group.h"
#include "proto/journal.pb.h"
#include "proto/message.pb.h"
#include "proto/wire/server.h"

namespace tandem {

class Outlet {
 public:
  virtual ~Outlet() = default;
  // Writes an input down, before anything that it leads to is said to anybody; returns its place in the journal.
  virtual uint64_t Journal(const proto::JournalEvent& event) = 0;
  // The group that was written down at a place; null when it cannot be read any more.
  virtual GroupPtr ReadBack(uint64_t place) = 0;
  // The weights of a policy's last version, whose trainer leaves: kept until an exchange that goes on in this one's
  // place asks for them. Empty: there are none.
  virtual void KeepWeights(const std::string& policy, const std::vector<wire::Frame>& chunks) = 0;
  virtual std::vector<wire::Frame> KeptWeights(const std::string& policy) = 0;
  // The answer to a call; once for each.
  virtual void Reply(wire::SessionId session, uint64_t call, proto::Header header, std::vector<wire::Frame> frames) = 0;
  // What a call that is not answered yet waits for.
  virtual void Missing(wire::SessionId session, uint64_t call, const std::string& missing) = 0;
  virtual void Announce(const proto::Announcement& announcement) = 0;
  // One line of metrics.jsonl.
  virtual void Metrics(std::string_view kind, const google::protobuf::Message& values, double now) = 0;
  // A group that has arrived; `step`: the newest version then. Some are kept for people to read.
  virtual void Sample(const proto::Group& group, uint32_t step, double now) = 0;
  virtual void Inform(const std::string& line) = 0;
  virtual void Warn(const std::string& line) = 0;
};

}  // namespace tandem
