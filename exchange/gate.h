// The staleness gate of one policy: may another group be started, so that all groups can still be consumed in time?
//
// A group has a due version d: the last version from which a step may train on it. The next batch that is cut starts
// from version c, the one after from c + 1, and so on, and each takes B groups. So a set of groups can be consumed in
// time only if
//
//     for all j >= -1:  #(groups with d <= c + j)  <=  (j + 1) * B                                              (*)
//
// since those due by c + j fit into the j + 1 batches from c, c + 1, ..., c + j only. The gate admits a ticket if (*)
// holds with it. That is enough, whatever the order in which groups finish, because
// - taking the B earliest due groups for the batch from c keeps (*) for c + 1: if more than B groups are due by
//   c + 1 + j, B of them leave, at most (j + 2) * B - B stay; if not, none of them stays;
// - when groups that are due early are still being played, the batcher waits for them as soon as cutting without them
//   would break (*) (batcher.h);
// - a group's due version never gets earlier: it is issued with d = m + bound, m the version published then, and an
//   engine never starts it with an older one; once it has arrived, d = (oldest version that wrote in it) + bound.
// (*) at j = -1 says that nothing is overdue, so with bound 0 nothing starts while a step is being taken. And no policy
// waits for ever: as long as fewer than B groups are outstanding and m = c, another one is admitted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>

namespace tandem {

// Due version of a group that has no token of the policy.
inline constexpr int64_t kNeverDue = std::numeric_limits<int64_t>::max();

// Thread-compatible; copying is cheap (one entry per different due version).
class Gate {
 public:
  explicit Gate(uint32_t groups_per_step) : groups_per_step_(groups_per_step) {}

  // Outstanding groups: issued and not yet in a batch. Removing one that was not added is a bug.
  void Add(int64_t due);
  void Remove(int64_t due);

  // Whether (*) holds with one more group due at `due`, when the next batch starts from version `next`.
  bool Admits(int64_t next, int64_t due) const;

  // The earliest c + j at which (*) is broken for c = `next`; nullopt: it holds.
  std::optional<int64_t> Overfull(int64_t next) const;

  // Outstanding groups with a due version up to `step`.
  size_t DueBy(int64_t step) const;

 private:
  uint32_t groups_per_step_;
  std::map<int64_t, size_t> outstanding_;  // due version -> groups
};

}  // namespace tandem
