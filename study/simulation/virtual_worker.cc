#include "study/simulation/virtual_worker.h"

#include <algorithm>

#include "base/status.h"

namespace tandem {

uint64_t VirtualWorker::Play(GroupWork work, std::function<void()> done) {
  const uint64_t group = next_group_++;
  playing_.emplace(group, Playing{std::move(work), std::move(done)});
  BeginLeg(group);
  return group;
}

void VirtualWorker::Cancel(uint64_t group) {
  const auto found = playing_.find(group);
  TANDEM_CHECK(found != playing_.end());
  Pause();
  if (order_.erase({found->second.end, group}) > 0) live_ -= found->second.work.turns;
  playing_.erase(found);  // a wait that is under way finds nobody
  GoOn();
}

double VirtualWorker::RoundCost() const {
  const double decoded = std::min(live_, workload_.most_turns);
  const double rounds = live_ > workload_.most_turns ? live_ / workload_.most_turns : 1;
  return rounds * (workload_.round_cpu_s + workload_.turn_cpu_s * decoded);
}

// Everybody's speed is about to change: what was done so far is written down.
void VirtualWorker::Pause() {
  if (job_ == 0) return;
  const double left = machine_.Stop(std::exchange(job_, 0));
  const double cost = RoundCost();
  if (cost > 0) rounds_ += (job_cpu_s_ - left) / cost;
}

void VirtualWorker::GoOn() {
  if (order_.empty()) {
    live_ = 0;  // sums of differences drift
    return;
  }
  job_cpu_s_ = std::max(0.0, order_.begin()->first - rounds_) * RoundCost();
  job_ = machine_.Start(job_cpu_s_, /*threads=*/1, [this] {
    job_ = 0;
    const auto [end, group] = *order_.begin();
    rounds_ = std::max(rounds_, end);
    LegComputed(group);
  });
}

void VirtualWorker::BeginLeg(uint64_t group) {
  Playing& playing = playing_.at(group);
  if (playing.leg == playing.work.legs.size()) {
    const std::function<void()> done = std::move(playing.done);
    playing_.erase(group);
    return done();
  }
  const double rounds = playing.work.legs[playing.leg].rounds;
  if (rounds <= 0) return LegOver(group);
  Pause();
  playing.end = rounds_ + rounds;
  order_.emplace(playing.end, group);
  live_ += playing.work.turns;
  GoOn();
}

void VirtualWorker::LegComputed(uint64_t group) {
  const Playing& playing = playing_.at(group);
  order_.erase({playing.end, group});
  live_ -= playing.work.turns;
  GoOn();
  LegOver(group);
}

void VirtualWorker::LegOver(uint64_t group) {
  Playing& playing = playing_.at(group);
  const double wait_s = playing.work.legs[playing.leg++].wait_s;
  if (wait_s <= 0) return BeginLeg(group);
  events_.After(wait_s, [this, group] {
    if (playing_.contains(group)) BeginLeg(group);
  });
}

}  // namespace tandem
