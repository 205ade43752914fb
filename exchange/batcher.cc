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
  int64_t due = step ? int64_t{*step} : versions ? versions->oldest + options_.bound : kNeverDue;
  Partners partners;
  if (options_.drift_bound) partners = PartnersOf(group->header, options_.policy, options_.incarnation);
  if (options_.on_limit == proto::PACE) {
    for (const auto& [partner, oldest] : partners) due = std::min(due, oldest.oldest + *options_.drift_bound);
  }
  TANDEM_CHECK(arrived_.insert({due, versions, std::move(group), std::move(partners)}).second);
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

bool Batcher::TooFar(const Entry& entry, const std::vector<proto::PolicyVersion>& now) const {
  if (options_.on_limit == proto::ACCEPT) return false;
  return std::any_of(entry.partners.begin(), entry.partners.end(), [&](const auto& partner) {
    const WrittenBy& oldest = partner.second;
    const int64_t from = options_.on_limit == proto::MASK ? oldest.newest : oldest.oldest;
    return NumberOf(now, partner.first) - from > int64_t{*options_.drift_bound};
  });
}

std::vector<Batcher::Entry> Batcher::TakeDrifted(const std::vector<proto::PolicyVersion>& now) {
  std::vector<Entry> drifted;
  for (auto it = arrived_.begin(); options_.drift_bound && it != arrived_.end();) {
    if (!TooFar(*it, now)) {
      ++it;
      continue;
    }
    drifted.push_back(*it);
    it = arrived_.erase(it);
  }
  return drifted;
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

std::optional<int64_t> Batcher::OldestOf(const std::string& partner) const {
  std::optional<int64_t> oldest;
  for (const Entry& entry : arrived_) TakeOldest(entry.partners, partner, &oldest);
  return oldest;
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

bool Batcher::MayCut(int64_t next, const Gate& outstanding) const {
  if (arrived_.size() < options_.groups_per_step) return false;
  if (options_.lag_injection && ArrivedDueBy(next) < options_.groups_per_step) return false;
  return options_.on_limit != proto::PACE || !MustWait(next, outstanding);
}

std::optional<std::vector<Batcher::Entry>> Batcher::TryCut(int64_t next, const Gate& outstanding) {
  if (!MayCut(next, outstanding)) return std::nullopt;
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
               uint32_t incarnation, const Beyond& beyond, proto::Batch* batch, std::vector<wire::Frame>* frames) {
  for (const Batcher::Entry& entry : cut) {
    proto::Group* group = batch->add_groups();
    *group = entry.group->header;
    *group->mutable_at_batch() = {versions.begin(), versions.end()};
    group->set_queued_s(now - group->arrived_s());
    const bool mask = beyond.drift || (entry.versions && entry.versions->oldest < beyond.before);
    const std::vector<wire::Frame> of_group =
        mask ? MaskBeyond(*entry.group, batch->policy(), incarnation, beyond, versions) : entry.group->frames;
    frames->insert(frames->end(), of_group.begin(), of_group.end());
  }
}

}  // namespace tandem
