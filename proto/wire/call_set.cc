#include "proto/wire/call_set.h"

#include <algorithm>
#include <iterator>

namespace tandem::wire {

void CallSet::Insert(uint64_t from, uint64_t to) {
  if (from >= to) return;
  auto next = ranges_.upper_bound(from);
  if (next != ranges_.begin() && std::prev(next)->second >= from) {
    --next;
    from = next->first;
  }
  while (next != ranges_.end() && next->first <= to) {
    to = std::max(to, next->second);
    next = ranges_.erase(next);
  }
  ranges_.emplace_hint(next, from, to);
}

bool CallSet::Contains(uint64_t call) const {
  const auto next = ranges_.upper_bound(call);
  return next != ranges_.begin() && call < std::prev(next)->second;
}

uint64_t CallSet::below() const { return ranges_.empty() || ranges_.begin()->first > 1 ? 1 : ranges_.begin()->second; }

void WriteDone(const CallSet& done, proto::Header* header) {
  header->set_done_below(done.below());
  header->clear_also_done();
  for (const auto& [from, to] : done.ranges()) {
    if (from < done.below()) continue;
    header->add_also_done(from);
    header->add_also_done(to);
  }
}

absl::Status ReadDone(const proto::Header& header, CallSet* done) {
  const auto& also = header.also_done();
  if (also.size() % 2 != 0) return absl::InvalidArgumentError("also_done is not made of pairs");
  for (int i = 0; i < also.size(); i += 2) {
    if (also[i] >= also[i + 1]) return absl::InvalidArgumentError("also_done has an empty range");
  }
  done->Insert(1, header.done_below());
  for (int i = 0; i < also.size(); i += 2) done->Insert(also[i], also[i + 1]);
  return absl::OkStatus();
}

}  // namespace tandem::wire
