#include "tests/exchange/random_scenario.h"

#include <vector>

#include "base/random.h"

namespace tandem {
namespace {

Scenario Ordinary(uint64_t seed) {
  RandomStream random(MixKey(seed, 1));
  const auto pick = [&](std::vector<double> values) { return values[random.Below(values.size())]; };
  Scenario s;
  s.seed = seed;
  s.config.set_seed(static_cast<uint32_t>(seed));
  SetShape(&s, 1 + random.Below(12), 1 + random.Below(1 + random.Below(4)));
  s.config.mutable_sft()->set_steps(random.Below(4));
  s.config.mutable_sft()->set_episodes_per_step(1 + random.Below(6));
  s.config.mutable_evaluation()->set_episodes(random.Below(3) * 7);
  s.config.mutable_rollout()->set_groups_in_play(1 + random.Below(20));
  const std::vector<std::string> team = {"executor", "planner"}, alone = {"solo"};
  for (const std::string& policy : random.Below(4) == 0 ? alone : team) {
    // Small bounds are what breaks first; the others up to 16 as often as all of them.
    const uint32_t bound = random.Below(2) == 0 ? random.Below(17) : std::vector<uint32_t>{0, 1, 2, 4}[random.Below(4)];
    const std::vector<proto::OnLimit> others = {proto::DROP, proto::MASK, proto::RERUN, proto::ACCEPT};
    SetBound(&s, policy, bound, random.Below(2) == 0 ? proto::PACE : others[random.Below(others.size())]);
    (*s.config.mutable_policies())[policy].mutable_staleness()->set_reruns(
        std::vector<uint32_t>{0, 0, 1, 3}[random.Below(4)]);
    (*s.config.mutable_policies())[policy].set_ranks(random.Below(5) == 0 ? 2 : 1);
    s.step_s[policy] = pick({0.1, 1, 10});
  }
  s.workers = 1 + static_cast<int>(random.Below(5));
  s.delay_s = pick({0.001, 0.1, 2});
  s.episode_s = pick({0.1, 1});
  s.stall = pick({0, 0, 0.05});
  s.non_finite = pick({0, 0, 0.05});
  s.lifetime_s = pick({1e9, 300, 40});
  s.repeat = pick({0, 0.1, 0.5});
  s.hears = pick({0, 0.5, 1});
  return s;
}

// A bound on partner drift for some policies, of its own random numbers.
void AddDrift(Scenario* s) {
  RandomStream random(MixKey(s->seed, 5));
  for (const std::string& policy : PoliciesOf(s->config)) {
    if (s->config.policies_size() < 2 || random.Below(4) > 0) continue;
    const uint32_t bound = std::vector<uint32_t>{0, 1, 2, 5}[random.Below(4)];
    (*s->config.mutable_policies())[policy].mutable_staleness()->set_drift_bound(bound);
  }
}

void AddDeaths(Scenario* s) {
  RandomStream random(MixKey(s->seed, 3));
  s->exchange_dies = random.Below(3) == 0 ? 0 : 0.002;
  s->trainer_dies = random.Below(3) == 0 ? 0 : 0.02;
}

void AddLag(Scenario* s) {
  RandomStream random(MixKey(s->seed, 2));
  for (const std::string& policy : PoliciesOf(s->config)) {
    SetBound(s, policy, 8, proto::PACE);
    (*s->config.mutable_policies())[policy].mutable_staleness()->clear_drift_bound();
    proto::LagConfig& lag = (*s->config.mutable_lag())[policy];
    const auto most = static_cast<uint32_t>(random.Below(9));
    switch (random.Below(3)) {
      case 0:
        lag.set_constant(most);
        break;
      case 1:
        lag.add_uniform(static_cast<uint32_t>(random.Below(most + 1)));
        lag.add_uniform(most);
        if (random.Below(2) == 0) lag.set_switch_at(1 + random.Below(3));
        break;
      default:  // the other policy alone, if there is one
        s->config.mutable_lag()->erase(policy);
    }
  }
}

}  // namespace

const char* NameOf(Kind kind) {
  constexpr const char* kNames[kKinds] = {"ordinary", "deaths", "lag", "disobedient"};
  return kNames[static_cast<int>(kind)];
}

Kind KindOf(uint64_t seed) {
  constexpr Kind kTenths[] = {Kind::kOrdinary, Kind::kOrdinary, Kind::kOrdinary, Kind::kOrdinary, Kind::kOrdinary,
                              Kind::kOrdinary, Kind::kDeaths,   Kind::kDeaths,   Kind::kLag,      Kind::kDisobedient};
  return kTenths[MixKey(seed, 4) % 10];
}

Scenario RandomScenario(Kind kind, uint64_t seed) {
  Scenario s = Ordinary(seed);
  AddDrift(&s);
  switch (kind) {
    case Kind::kOrdinary:
      break;
    case Kind::kDeaths:
      AddDeaths(&s);
      break;
    case Kind::kLag:
      AddLag(&s);
      break;
    case Kind::kDisobedient:
      s.obedient = false;
      s.hears = 0.3;
  }
  return s;
}

void SetBound(Scenario* scenario, const std::string& policy, uint32_t bound, proto::OnLimit on_limit) {
  proto::StalenessConfig& staleness = *(*scenario->config.mutable_policies())[policy].mutable_staleness();
  staleness.set_bound(bound);
  staleness.set_on_limit(on_limit);
}

void SetShape(Scenario* scenario, uint32_t groups_per_step, uint32_t group_size) {
  scenario->config.mutable_train()->set_groups_per_step(groups_per_step);
  scenario->config.mutable_train()->set_group_size(group_size);
  scenario->config.mutable_train()->set_steps((kLeastGroups + groups_per_step - 1) / groups_per_step);
  scenario->config.mutable_sft()->set_steps(0);
  scenario->config.mutable_evaluation()->set_episodes(0);
}

}  // namespace tandem
