#include "study/simulation/virtual_gauge.h"

#include <algorithm>

namespace tandem {

VirtualGauge::VirtualGauge(VirtualTeam* team, double warm_up_share) : team_(*team), warm_up_share_(warm_up_share) {
  for (const auto& [name, policy] : team->config().policies()) lanes_[name];
  team->on_batch = [this](const proto::Batch& batch) { CountAges(batch); };
  team->on_published = [this] { LookWhetherToMeasure(); };
}

void VirtualGauge::LookWhetherToMeasure() {
  const uint32_t steps = team_.config().train().steps();
  uint32_t slowest = steps;
  bool issues = true;
  for (const auto& [name, lane] : lanes_) {
    slowest = std::min(slowest, team_.exchange().lane(name).version().value_or(0));
    issues &= team_.exchange().lane(name).to_issue() > 0;
  }
  if (slowest >= warm_up_share_ * steps && !measuring_) {
    first_version_ = last_version_ = slowest;
    began_s_ = team_.events().now_s();
    began_contended_s_ = team_.machine().contended_s();
    measuring_ = true;
  }
  if (!measuring_ || ended_ || slowest == last_version_) return;  // policies publish one after the other
  last_version_ = slowest;
  ended_s_ = team_.events().now_s();
  ended_contended_s_ = team_.machine().contended_s();
  ended_ = !issues && 4 * (last_version_ - first_version_) >= steps;
}

void VirtualGauge::CountAges(const proto::Batch& batch) {
  if (!measuring_) return;
  Count& lane = lanes_.at(batch.policy());
  const proto::StalenessConfig& staleness = team_.config().policies().at(batch.policy()).staleness();
  for (const proto::Group& group : batch.groups()) {
    for (const proto::Turn& turn : group.episodes(0).turns()) {
      if (turn.policy() != batch.policy()) continue;
      for (const proto::VersionRun& run : turn.version_runs()) {
        const uint32_t age = batch.step() - run.version().number();
        if (age > staleness.bound() && staleness.on_limit() == proto::MASK) {
          lane.over_bound += run.count();
          continue;
        }
        if (lane.tokens.size() <= age) lane.tokens.resize(age + 1);
        lane.tokens[age] += run.count();
      }
    }
  }
}

void VirtualGauge::AddUp(double seconds) {
  if (!measuring_ || ended_ || seconds <= 0) return;
  in_play_ += seconds * static_cast<double>(team_.playing());
  exchange_s_ += team_.exchange_computes() ? seconds : 0;
  for (auto& [name, lane] : lanes_) {
    const Lane& real = team_.exchange().lane(name);
    lane.result.training_share += team_.training(name) ? seconds : 0;
    lane.result.buffered += seconds * static_cast<double>(real.arrived());
    lane.result.held_up_share += team_.has_room() && team_.exchange().held_up_by().contains(name) ? seconds : 0;
  }
}

VirtualRun VirtualGauge::Result() {
  VirtualRun run;
  run.seconds = ended_s_ - began_s_;
  const double seconds = std::max(run.seconds, 1e-12);
  run.groups_per_s =
      static_cast<double>(last_version_ - first_version_) * team_.config().train().groups_per_step() / seconds;
  run.in_play = in_play_ / seconds;
  run.contended_share = (ended_contended_s_ - began_contended_s_) / seconds;
  run.exchange_share = exchange_s_ / seconds;
  run.issued = team_.issued();
  run.played_s = team_.played_s();
  for (auto& [name, lane] : lanes_) {
    VirtualLane& result = run.lanes[name] = lane.result;
    result.rejected = team_.rejected(name);
    result.training_share /= seconds;
    result.buffered /= seconds;
    result.held_up_share /= seconds;
    double tokens = 0;
    for (const double count : lane.tokens) tokens += count;
    for (const double count : lane.tokens) result.age_share.push_back(tokens > 0 ? count / tokens : 0);
    const double all = tokens + lane.over_bound;
    result.over_bound_share = all > 0 ? lane.over_bound / all : 0;
  }
  return run;
}

}  // namespace tandem
