#include "tests/exchange/shrink.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/exchange/play_apart.h"

namespace tandem {
namespace {

constexpr uint64_t kSeeds = 4;  // another scenario draws other delays: one seed alone would often miss the failure

// Each makes one thing simpler; one that changes nothing is not tried.
using Move = std::function<void(Scenario*)>;

// 0 (or `least`), half, one less: the largest step that still fails comes first.
template <typename Get, typename Set>
void AddNumber(std::vector<Move>* moves, uint32_t least, Get get, Set set) {
  moves->push_back([=](Scenario* s) { set(s, least); });
  moves->push_back([=](Scenario* s) { set(s, std::max(least, get(*s) / 2)); });
  moves->push_back([=](Scenario* s) { set(s, std::max(least + 1, get(*s)) - 1); });
}

void AddPolicyMoves(std::vector<Move>* moves, const std::string& policy) {
  const auto of = [policy](Scenario* s) -> proto::PolicyConfig& { return s->config.mutable_policies()->at(policy); };
  moves->push_back([=](Scenario* s) { of(s).mutable_staleness()->set_on_limit(proto::PACE); });
  moves->push_back([=](Scenario* s) { s->config.mutable_lag()->erase(policy); });
  moves->push_back([=](Scenario* s) { of(s).mutable_staleness()->set_reruns(0); });
  moves->push_back([=](Scenario* s) { of(s).mutable_staleness()->clear_drift_bound(); });
  moves->push_back([=](Scenario* s) { of(s).set_ranks(1); });
  moves->push_back([=](Scenario* s) {
    if (s->step_s.contains(policy)) s->step_s[policy] = 1;
  });
  AddNumber(
      moves, 0, [=](const Scenario& s) { return s.config.policies().at(policy).staleness().bound(); },
      [=](Scenario* s, uint32_t bound) {
        if (!s->config.lag().contains(policy)) of(s).mutable_staleness()->set_bound(bound);  // the lag must fit into it
      });
}

std::vector<Move> MovesFor(const Scenario& scenario) {
  std::vector<Move> moves;
  const std::vector<std::string> policies = PoliciesOf(scenario.config);
  for (const std::string& policy : policies) {
    if (policies.size() == 1) break;
    moves.push_back([=](Scenario* s) {
      s->config.mutable_policies()->erase(policy);
      s->config.mutable_lag()->erase(policy);
      s->step_s.erase(policy);
    });
  }
  for (double Scenario::*fault : {&Scenario::exchange_dies, &Scenario::trainer_dies, &Scenario::stall,
                                  &Scenario::non_finite, &Scenario::repeat, &Scenario::without_executor}) {
    moves.push_back([=](Scenario* s) { s->*fault = 0; });
  }
  moves.push_back([](Scenario* s) { s->lifetime_s = 1e9; });
  moves.push_back([](Scenario* s) { s->obedient = true; });
  moves.push_back([](Scenario* s) { s->hears = 1; });
  moves.push_back([](Scenario* s) { s->delay_s = 0.001; });
  moves.push_back([](Scenario* s) { s->episode_s = 0.1; });
  moves.push_back([](Scenario* s) { s->config.mutable_sft()->set_steps(0); });
  moves.push_back([](Scenario* s) { s->config.mutable_evaluation()->set_episodes(0); });
  AddNumber(
      &moves, 1, [](const Scenario& s) { return s.config.train().steps(); },
      [](Scenario* s, uint32_t steps) { s->config.mutable_train()->set_steps(steps); });
  AddNumber(
      &moves, 1, [](const Scenario& s) { return s.config.train().groups_per_step(); },
      [](Scenario* s, uint32_t groups) { s->config.mutable_train()->set_groups_per_step(groups); });
  AddNumber(
      &moves, 1, [](const Scenario& s) { return s.config.train().group_size(); },
      [](Scenario* s, uint32_t episodes) { s->config.mutable_train()->set_group_size(episodes); });
  AddNumber(
      &moves, 1, [](const Scenario& s) { return static_cast<uint32_t>(s.workers); },
      [](Scenario* s, uint32_t workers) { s->workers = static_cast<int>(workers); });
  AddNumber(
      &moves, 1, [](const Scenario& s) { return s.config.rollout().groups_in_play(); },
      [](Scenario* s, uint32_t groups) { s->config.mutable_rollout()->set_groups_in_play(groups); });
  for (const std::string& policy : policies) AddPolicyMoves(&moves, policy);
  return moves;
}

uint64_t GroupsOf(const Scenario& s) { return uint64_t{s.config.train().steps()} * s.config.train().groups_per_step(); }

std::string Said(const std::string& violation) {
  constexpr size_t kMost = 1500;
  return violation.size() <= kMost ? violation : violation.substr(0, kMost) + " ...";
}

}  // namespace

Shrunk Shrink(Scenario scenario, const std::function<bool(const Scenario&)>& fails, int tries) {
  Shrunk shrunk = {std::move(scenario)};
  for (bool simpler = true; simpler;) {
    simpler = false;
    const auto policies = shrunk.scenario.config.policies().size();
    for (const Move& move : MovesFor(shrunk.scenario)) {
      if (shrunk.scenario.config.policies().size() != policies) break;  // some moves are about one that is gone
      for (bool again = true; again;) {                                 // what could be halved may be halved once more
        again = false;
        Scenario next = shrunk.scenario;
        move(&next);
        if (ToText(next) == ToText(shrunk.scenario)) break;
        for (uint64_t i = 0; i < kSeeds && !again; ++i, ++next.seed) {
          if (shrunk.tries++ >= tries) return shrunk;
          again = fails(next);
          if (again) shrunk.scenario = next;
        }
        simpler |= again;
      }
    }
  }
  return shrunk;
}

std::string Explain(const Scenario& scenario) {
  std::string text = absl::StrCat("seed ", scenario.seed, " violates: ", Said(PlayApart(scenario)), "\n");
  const Shrunk shrunk = Shrink(scenario, [](const Scenario& s) { return !PlayApart(s).empty(); });
  const std::string small = ToText(shrunk.scenario);
  absl::StrAppend(&text, "shrunk in ", shrunk.tries, " tries from ", GroupsOf(scenario), " groups to ",
                  GroupsOf(shrunk.scenario), ", which violates: ", Said(PlayApart(ScenarioOf(small).value())),
                  "\nplay it again: tests/schedules --scenario '", small, "'\n");
  return text;
}

}  // namespace tandem
