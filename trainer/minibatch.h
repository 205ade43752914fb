// A step's turns, split into minibatches (one optimizer update each), ranks, and passes of a bounded size.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "policy/model.h"
#include "trainer/batch.h"

namespace tandem {

// Turns that go through the model together: one forward and one backward pass. Gradients of a minibatch's passes add
// up.
struct Pass {
  PackedSequences sequences;             // targets are the output tokens with loss_mask 1
  std::vector<float> behaviour;          // [targets] log-probability under the distribution that was sampled from
  std::vector<float> model;              // [targets] log-probability that the engine's model gave at temperature 1
  std::vector<float> advantages;         // [targets]
  std::vector<int32_t> ages;             // [targets]
  std::vector<int64_t> turn;             // [targets] index of the turn within the batch
  std::vector<int64_t> advantage_group;  // [targets]
};

struct Minibatch {
  std::vector<Pass> passes;  // this rank's
  double token_count = 0;    // targets of all ranks
};

struct SplitOptions {
  uint32_t minibatches = 1;
  uint64_t key = 0;  // of the shuffle
  uint32_t rank = 0;
  uint32_t ranks = 1;
  int64_t tokens_per_pass = 0;  // a pass holds no more, unless a single turn does
};

// Splits the turns with `group` >= 0 by whole turns: shuffled by `key` alone, dealt out to the minibatches in turn, and
// there, ordered by length (so that a pass holds sequences of like length) and then canonically, dealt out to the
// ranks. An advantage group may be split: advantages are computed before. Minibatches that would be empty for all ranks
// are left out; one that is empty for this rank has no passes. `values`, `group`: [turns], as in Advantages.
std::vector<Minibatch> SplitTurns(std::span<const TrainingTurn> turns, std::span<const float> values,
                                  std::span<const int64_t> group, const SplitOptions& options);

}  // namespace tandem
