// Batches made up for tests: what the exchange would send, without an exchange.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "exchange/link.h"
#include "policy/model_config.h"
#include "proto/config.pb.h"
#include "proto/group.h"

namespace tandem {

struct SyntheticTurn {
  std::string role = "planner";
  std::string policy = "planner";
  uint32_t node = 0;
  TurnTokens tokens;
  std::vector<std::pair<uint32_t, uint32_t>> runs;  // version number, count; none: scripted
  bool masked = false;
};

struct SyntheticEpisode {
  float reward = 0;
  std::vector<SyntheticTurn> turns;
};

struct SyntheticGroup {
  uint64_t ticket = 0;
  std::vector<SyntheticEpisode> episodes;
};

inline TurnTokens Tokens(std::vector<int32_t> prompt, std::vector<int32_t> output, float logprob = -1) {
  const size_t n = output.size();
  return {std::move(prompt), std::move(output), std::vector<float>(n, logprob), std::vector<float>(n, logprob),
          std::vector<uint8_t>(n, 1)};
}

inline void AddGroup(const SyntheticGroup& from, TrainingBatch& batch) {
  proto::Group& group = *batch.header.add_groups();
  group.set_format(kGroupFormat);
  group.mutable_ticket()->set_id(from.ticket);
  group.mutable_ticket()->set_purpose(batch.header.purpose());
  group.mutable_ticket()->set_episodes(static_cast<uint32_t>(from.episodes.size()));
  std::vector<TurnTokens> tokens;
  for (size_t e = 0; e < from.episodes.size(); ++e) {
    proto::Episode& episode = *group.add_episodes();
    episode.set_episode(static_cast<uint32_t>(e));
    proto::NamedValue& reward = *episode.add_rewards();
    reward.set_name("team");
    reward.set_value(from.episodes[e].reward);
    for (const SyntheticTurn& made : from.episodes[e].turns) {
      proto::Turn& turn = *episode.add_turns();
      turn.set_turn(static_cast<uint32_t>(episode.turns_size() - 1));
      turn.set_role(made.role);
      turn.set_policy(made.policy);
      turn.set_node(made.node);
      turn.set_masked(made.masked);
      turn.set_prompt_tokens(static_cast<uint32_t>(made.tokens.prompt_ids.size()));
      turn.set_output_tokens(static_cast<uint32_t>(made.tokens.output_ids.size()));
      turn.set_finish(made.runs.empty() ? proto::SCRIPTED : proto::STOP);
      for (const auto& [number, count] : made.runs) {
        proto::VersionRun& run = *turn.add_version_runs();
        run.mutable_version()->set_number(number);
        run.set_count(count);
      }
      tokens.push_back(made.tokens);
    }
  }
  for (wire::Frame& frame : PackFrames(tokens)) batch.frames.push_back(std::move(frame));
}

inline TrainingBatch MakeBatch(const std::vector<SyntheticGroup>& groups, proto::Purpose purpose, uint32_t step) {
  TrainingBatch batch;
  batch.header.set_policy("planner");
  batch.header.set_purpose(purpose);
  batch.header.set_step(step);
  for (const SyntheticGroup& group : groups) AddGroup(group, batch);
  return batch;
}

// Groups of planner turns (and executors' turns of another policy, which a planner's trainer has to pass over) with
// random tokens of random lengths, random rewards 0 and 1, and behaviour log-probabilities near those of a fresh model.
// `oldest`: tokens are up to so many versions older than `step`, at most `step`; SFT has no versions.
inline std::vector<SyntheticGroup> RandomGroups(uint64_t seed, int64_t vocabulary, size_t groups, size_t group_size,
                                                proto::Purpose purpose, uint32_t step, uint32_t oldest = 0) {
  RandomStream random(seed);
  const auto ids = [&](size_t n) {
    std::vector<int32_t> out(n);
    for (int32_t& id : out) id = static_cast<int32_t>(random.Below(static_cast<uint64_t>(vocabulary)));
    return out;
  };
  std::vector<SyntheticGroup> out;
  for (size_t g = 0; g < groups; ++g) {
    SyntheticGroup& group = out.emplace_back(SyntheticGroup{.ticket = 100 + g, .episodes = {}});
    const std::vector<int32_t> prompt = ids(3 + random.Below(4));
    for (size_t e = 0; e < group_size; ++e) {
      SyntheticEpisode& episode = group.episodes.emplace_back();
      episode.reward = random.Below(2) == 0 ? 0.f : 1.f;
      for (const char* who : {"planner", "executor"}) {
        const size_t n = 2 + random.Below(6);
        SyntheticTurn turn{.role = who, .policy = who, .node = 0, .tokens = Tokens(prompt, ids(n)), .runs = {}};
        for (size_t i = 0; i < n; ++i) {
          turn.tokens.sampled_logprobs[i] = turn.tokens.model_logprobs[i] =
              -1.5f - static_cast<float>(random.Uniform());
        }
        if (purpose != proto::SFT) {
          const uint32_t age = static_cast<uint32_t>(random.Below(std::min(oldest, step) + 1));
          const uint32_t first = static_cast<uint32_t>(1 + random.Below(n - 1));
          turn.runs = {{step - age, first}, {step - age / 2, static_cast<uint32_t>(n) - first}};
        }
        episode.turns.push_back(std::move(turn));
      }
    }
  }
  return out;
}

inline ModelConfig SmallShape() {
  return {.vocabulary = 11, .hidden = 16, .layers = 2, .heads = 2, .kv_heads = 1, .intermediate = 24, .context = 32};
}

inline proto::PolicyConfig SmallPolicy() {
  proto::PolicyConfig config;
  config.mutable_optimizer()->set_learning_rate(1e-2);
  config.mutable_optimizer()->set_warmup_steps(0);
  config.mutable_sft()->set_learning_rate(1e-2);
  config.mutable_sft()->set_warmup_steps(0);
  return config;
}

}  // namespace tandem
