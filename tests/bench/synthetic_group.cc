#include "tests/bench/synthetic_group.h"

#include <cmath>
#include <utility>

#include "base/random.h"
#include "proto/group.h"

namespace tandem {
namespace {

void AddValue(const char* name, float value, google::protobuf::RepeatedPtrField<proto::NamedValue>* values) {
  values->Add()->set_name(name);
  values->rbegin()->set_value(value);
}

TurnTokens Draw(const GroupShape& shape, RandomStream* random) {
  TurnTokens tokens;
  for (uint32_t i = 0; i < shape.prompt; ++i) tokens.prompt_ids.push_back(static_cast<int32_t>(random->Below(32000)));
  for (uint32_t i = 0; i < shape.output; ++i) {
    const auto logprob = static_cast<float>(std::log(1 - random->Uniform()));
    tokens.output_ids.push_back(static_cast<int32_t>(random->Below(32000)));
    tokens.sampled_logprobs.push_back(logprob);
    tokens.model_logprobs.push_back(logprob);
    tokens.loss_mask.push_back(1);
  }
  return tokens;
}

}  // namespace

SyntheticGroup::SyntheticGroup(const GroupShape& shape) {
  RandomStream random(1);
  std::vector<TurnTokens> tokens;
  header_.set_format(kGroupFormat);
  for (uint32_t e = 0; e < shape.episodes; ++e) {
    proto::Episode* episode = header_.add_episodes();
    episode->set_episode(e);
    episode->set_terminated(true);
    AddValue("team", static_cast<float>(random.Below(2)), episode->mutable_rewards());
    for (const char* measure : {"success", "plan_valid", "plan_right", "steps_executed", "steps_right"}) {
      AddValue(measure, 1, episode->mutable_measures());
    }
    for (uint32_t t = 0; t < shape.turns; ++t) {
      proto::Turn* turn = episode->add_turns();
      turn->set_turn(t);
      if (t > 0) turn->add_parents(0);
      turn->set_role(t == 0 ? "planner" : "executor");
      turn->set_policy(turn->role());
      turn->set_node(t == 0 ? 0 : t - 1);
      turn->set_prompt_tokens(shape.prompt);
      turn->set_output_tokens(shape.output);
      turn->add_version_runs()->set_count(shape.output);
      turn->mutable_sampling()->set_temperature(1);
      turn->mutable_sampling()->set_max_new_tokens(shape.output);
      turn->set_random_key(random.Next());
      turn->set_finish(proto::STOP);
      turn->set_terminated(true);
      turn->mutable_times()->set_started(random.Uniform());
      turn->mutable_times()->set_first_token(random.Uniform());
      turn->mutable_times()->set_ended(random.Uniform());
      tokens.push_back(Draw(shape, &random));
    }
  }
  frames_ = PackFrames(tokens);
}

proto::Group SyntheticGroup::For(const proto::Ticket& ticket,
                                 const std::map<std::string, proto::Version>& versions) const {
  proto::Group group = header_;
  *group.mutable_ticket() = ticket;
  for (proto::Episode& episode : *group.mutable_episodes()) {
    for (proto::Turn& turn : *episode.mutable_turns()) {
      *turn.mutable_version_runs(0)->mutable_version() = versions.at(turn.policy());
    }
  }
  return group;
}

}  // namespace tandem
