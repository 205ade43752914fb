#include "exchange/warm_start.h"

#include <algorithm>

#include "base/status.h"

namespace tandem {

WarmStart::WarmStart(uint32_t steps, uint32_t episodes_per_step, const std::map<std::string, uint32_t>& first_step)
    : steps_(steps), per_step_(episodes_per_step) {
  for (const auto& [policy, first] : first_step) {
    lanes_.emplace(policy, Lane{std::min(first, steps), std::min(first, steps), Ledger(policy)});
  }
  next_ = uint64_t{SlowestStep()} * per_step_;
}

uint32_t WarmStart::SlowestStep() const {
  uint32_t slowest = steps_;
  for (const auto& [policy, lane] : lanes_) slowest = std::min(slowest, lane.step);
  return slowest;
}

std::optional<uint64_t> WarmStart::Next() const {
  const uint64_t step = next_ / per_step_;
  if (step >= steps_ || step >= SlowestStep() + kAhead) return std::nullopt;
  return next_;
}

void WarmStart::Take(uint64_t number) {
  TANDEM_CHECK(number == next_);
  ++next_;
  for (auto& [policy, lane] : lanes_) {
    if (number / per_step_ >= lane.first) lane.ledger.Issue(1);
  }
}

void WarmStart::Arrive(uint64_t number, GroupPtr group) {
  TANDEM_CHECK(number < next_);
  for (auto& [policy, lane] : lanes_) {
    if (number / per_step_ >= lane.first) lane.ledger.Arrive(1);
  }
  TANDEM_CHECK(arrived_.emplace(number, std::move(group)).second);
}

bool WarmStart::Wanted(const std::string& policy, uint32_t step) const {
  return step < steps_ && step >= lanes_.at(policy).step;
}

uint32_t WarmStart::MissingOf(uint32_t step) const {
  const auto begin = arrived_.lower_bound(uint64_t{step} * per_step_);
  const auto end = arrived_.lower_bound((uint64_t{step} + 1) * per_step_);
  return per_step_ - static_cast<uint32_t>(std::distance(begin, end));
}

std::optional<std::vector<GroupPtr>> WarmStart::Batch(uint32_t step) const {
  TANDEM_CHECK(step >= SlowestStep() && step < steps_);
  if (MissingOf(step) > 0) return std::nullopt;
  return Arrived(step);
}

std::vector<GroupPtr> WarmStart::Arrived(uint32_t step) const {
  const auto begin = arrived_.lower_bound(uint64_t{step} * per_step_);
  const auto end = arrived_.lower_bound((uint64_t{step} + 1) * per_step_);
  std::vector<GroupPtr> groups;
  for (auto it = begin; it != end; ++it) groups.push_back(it->second);
  return groups;
}

bool WarmStart::Finish(const std::string& policy, uint32_t step) {
  Lane& lane = lanes_.at(policy);
  if (step != lane.step || step >= steps_ || MissingOf(step) > 0) return false;
  lane.ledger.Train(per_step_);
  ++lane.step;
  arrived_.erase(arrived_.begin(), arrived_.lower_bound(uint64_t{SlowestStep()} * per_step_));
  return true;
}

}  // namespace tandem
