// Which calls are over, kept as ranges: calls end nearly in order, so that a few ranges say it for a whole run.
#pragma once

#include <cstdint>
#include <map>

#include "absl/status/status.h"
#include "proto/message.pb.h"

namespace tandem::wire {

class CallSet {
 public:
  // Adds [from, to); nothing when from >= to.
  void Insert(uint64_t from, uint64_t to);
  void Insert(uint64_t call) { Insert(call, call + 1); }
  bool Contains(uint64_t call) const;

  // All calls from 1 to below() - 1 are in the set.
  uint64_t below() const;
  // Disjoint, not adjacent: [first, second).
  const std::map<uint64_t, uint64_t>& ranges() const { return ranges_; }

 private:
  std::map<uint64_t, uint64_t> ranges_;
};

// Writes the set into done_below and also_done of a header.
void WriteDone(const CallSet& done, proto::Header* header);

// Adds what a header says to the set. Each header is true for ever, so that old ones may come late.
// kInvalidArgument: also_done is not made of ranges.
absl::Status ReadDone(const proto::Header& header, CallSet* done);

}  // namespace tandem::wire
