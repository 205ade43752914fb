#include "exchange/batcher.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "base/status.h"

namespace tandem {

bool Batcher::EarliestFirst::operator()(const Entry& a, const Entry& b) const {
  return std::tuple(a.due, a.group->header.ticket().id()) < std::tuple(b.due, b.group->header.ticket().id());
}

int64_t Batcher::Arrive(GroupPtr group, std::optional<uint32_t> step) {
  const auto versions = VersionsOf(group->header, options_.policy, options_.incarnation);
  const int64_t due = step ? int64_t{*step} : versions ? versions->oldest + options_.bound : kNeverDue;
  TANDEM_CHECK(arrived_.insert({due, versions, std::move(group)}).second);
  return due;
}

bool Batcher::TooOld(const Entry& entry, int64_t next) const {
  if (!entry.versions || options_.on_limit == proto::ACCEPT) return false;
  const bool mask = options_.on_limit == proto::MASK;
  return next - (mask ? entry.versions->newest : entry.versions->oldest) > int64_t{options_.bound};
}

std::vector<Batcher::Entry> Batcher::TakeStale(int64_t next) {
  std::vector<Entry> stale;
  for (auto it = arrived_.begin(); it != arrived_.end();) {
    // What is too old is overdue, so that it stands first; but under lag injection, where `due` says something else.
    if (it->due >= next && !options_.lag_injection) break;
    if (!TooOld(*it, next)) {
      ++it;
      continue;
    }
    stale.push_back(*it);
    it = arrived_.erase(it);
  }
  return stale;
}

std::vector<Batcher::Entry> Batcher::Overdue(int64_t next) const {
  std::vector<Entry> overdue;
  for (auto it = arrived_.begin(); it != arrived_.end() && it->due < next; ++it) overdue.push_back(*it);
  return overdue;
}

std::vector<Batcher::Entry> Batcher::TakeOverdue(int64_t next) {
  std::vector<Entry> overdue = Overdue(next);
  arrived_.erase(arrived_.begin(), std::next(arrived_.begin(), static_cast<ptrdiff_t>(overdue.size())));
  return overdue;
}

size_t Batcher::ArrivedDueBy(int64_t step) const {
  size_t groups = 0;
  for (const Entry& entry : arrived_) {
    if (entry.due > step) break;
    ++groups;
  }
  return groups;
}

bool Batcher::MustWait(int64_t next, const Gate& outstanding) const {
  Gate rest = outstanding;
  auto it = arrived_.begin();
  for (uint32_t i = 0; i < options_.groups_per_step; ++i, ++it) rest.Remove(it->due);
  const std::optional<int64_t> overfull = rest.Overfull(next + 1);
  if (!overfull) return false;
  // Only groups still being played can change that. Without any (a worker that ignored a ticket's least version is the
  // only way), waiting would never end: the consumption check will reject what comes too late.
  return outstanding.DueBy(*overfull) > ArrivedDueBy(*overfull);
}

std::optional<std::vector<Batcher::Entry>> Batcher::TryCut(int64_t next, const Gate& outstanding) {
  if (arrived_.size() < options_.groups_per_step) return std::nullopt;
  if (options_.lag_injection && ArrivedDueBy(next) < options_.groups_per_step) return std::nullopt;
  if (options_.on_limit == proto::PACE && MustWait(next, outstanding)) return std::nullopt;
  const auto end = std::next(arrived_.begin(), options_.groups_per_step);
  std::vector<Entry> cut(arrived_.begin(), end);
  arrived_.erase(arrived_.begin(), end);
  // Summing in order of arrival would make losses depend on scheduling.
  std::sort(cut.begin(), cut.end(), [](const Entry& a, const Entry& b) {
    return a.group->header.ticket().id() < b.group->header.ticket().id();
  });
  return cut;
}

void FillBatch(const std::vector<Batcher::Entry>& cut, const std::vector<proto::PolicyVersion>& versions, double now,
               uint32_t incarnation, int64_t mask_before, proto::Batch* batch, std::vector<wire::Frame>* frames) {
  for (const Batcher::Entry& entry : cut) {
    proto::Group* group = batch->add_groups();
    *group = entry.group->header;
    *group->mutable_at_batch() = {versions.begin(), versions.end()};
    group->set_queued_s(now - group->arrived_s());
    const bool mask = entry.versions && entry.versions->oldest < mask_before;
    const std::vector<wire::Frame> of_group =
        mask ? MaskBefore(*entry.group, batch->policy(), incarnation, mask_before) : entry.group->frames;
    frames->insert(frames->end(), of_group.begin(), of_group.end());
  }
}

}  // namespace tandem
