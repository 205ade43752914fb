#include "trainer/minibatch.h"

#include <algorithm>
#include <utility>

#include "base/random.h"
#include "base/status.h"

namespace tandem {
namespace {

void Shuffle(std::vector<size_t>& indices, uint64_t key) {
  RandomStream random(key);
  for (size_t i = indices.size(); i > 1; --i) std::swap(indices[i - 1], indices[random.Below(i)]);
}

void Append(const TrainingTurn& turn, size_t index, float advantage, int64_t group, Pass& pass) {
  PackedSequences& s = pass.sequences;
  const auto first_output = static_cast<int32_t>(s.ids.size() + turn.prompt_ids.size());
  s.ids.insert(s.ids.end(), turn.prompt_ids.begin(), turn.prompt_ids.end());
  s.ids.insert(s.ids.end(), turn.output_ids.begin(), turn.output_ids.end());
  s.lengths.push_back(static_cast<int32_t>(turn.length()));
  for (size_t i = 0; i < turn.output_ids.size(); ++i) {
    if (turn.loss_mask[i] == 0) continue;
    s.targets.push_back(first_output + static_cast<int32_t>(i));
    pass.behaviour.push_back(turn.sampled_logprobs[i]);
    pass.model.push_back(turn.model_logprobs[i]);
    pass.advantages.push_back(advantage);
    pass.ages.push_back(turn.ages[i]);
    pass.turn.push_back(static_cast<int64_t>(index));
    pass.advantage_group.push_back(group);
  }
}

}  // namespace

std::vector<Minibatch> SplitTurns(std::span<const TrainingTurn> turns, std::span<const float> values,
                                  std::span<const int64_t> group, const SplitOptions& options) {
  TANDEM_CHECK(values.size() == turns.size() && group.size() == turns.size());
  TANDEM_CHECK(options.minibatches > 0 && options.ranks > 0 && options.rank < options.ranks);
  std::vector<size_t> chosen;
  for (size_t i = 0; i < turns.size(); ++i) {
    if (group[i] >= 0) chosen.push_back(i);
  }
  Shuffle(chosen, options.key);

  std::vector<Minibatch> out;
  for (size_t m = 0; m < options.minibatches && m < chosen.size(); ++m) {
    std::vector<size_t> members;
    for (size_t at = m; at < chosen.size(); at += options.minibatches) members.push_back(chosen[at]);
    std::sort(members.begin(), members.end(),
              [&](size_t a, size_t b) { return std::pair(turns[a].length(), a) < std::pair(turns[b].length(), b); });
    Minibatch& minibatch = out.emplace_back();
    for (size_t at = 0; at < members.size(); ++at) {
      const TrainingTurn& turn = turns[members[at]];
      minibatch.token_count += static_cast<double>(turn.unmasked());
      if (at % options.ranks != options.rank) continue;
      if (minibatch.passes.empty() ||
          static_cast<int64_t>(minibatch.passes.back().sequences.ids.size()) + turn.length() >
              options.tokens_per_pass) {
        minibatch.passes.emplace_back();
      }
      Append(turn, members[at], values[members[at]], group[members[at]], minibatch.passes.back());
    }
  }
  return out;
}

}  // namespace tandem
