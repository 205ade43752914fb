// A batch as it came from the exchange, turned into the turns that a trainer learns from.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "exchange/link.h"
#include "policy/model_config.h"

namespace tandem {

// One turn of the policy that is trained. The spans point into the frames of the batch.
struct TrainingTurn {
  uint64_t ticket = 0;
  uint32_t episode = 0;
  std::string role;
  uint32_t node = 0;
  bool masked = false;  // its episode turned out faulty in a way that it had no part in: no loss on it
  bool mixed = false;   // two or more versions wrote it
  float reward = 0;     // "team" of its episode; 0 in the warm start
  std::span<const int32_t> prompt_ids;
  std::span<const int32_t> output_ids;
  std::span<const float> sampled_logprobs;  // [output]
  std::span<const float> model_logprobs;    // [output]
  std::span<const uint8_t> loss_mask;       // [output]
  std::vector<int32_t> ages;                // [output] staleness of each token; the warm start: 0
  int32_t queued = 0;                       // how many versions the policy has moved on since the group arrived
  std::vector<int32_t> drift;               // [partners] see UnpackedBatch; -1: that partner wrote nothing

  int64_t length() const { return static_cast<int64_t>(prompt_ids.size() + output_ids.size()); }
  int64_t unmasked() const;  // output tokens with loss_mask 1
};

struct UnpackedBatch {
  std::vector<TrainingTurn> turns;  // of the policy, in canonical order: ticket, episode, role, node
  uint32_t episodes = 0;            // of the batch, also those without a turn of the policy
  double reward_mean = 0;           // over these episodes
  // The other policies, by name. A turn's drift with respect to one is its version when the batch was cut minus the
  // oldest version of it that wrote anything in the turn's episode.
  std::vector<std::string> partners;
};

// The order of the groups, episodes and turns within `batch` does not matter: the result is in canonical order, so that
// sums do not depend on who finished first. Views `batch`, which has to stay. kInvalidArgument, naming ticket and
// episode: frames that disagree with the header, a token outside the vocabulary, a turn without prompt or longer than
// the context, an episode without the reward "team" (train). kFailedPrecondition: a token of a later version than the
// step starts from.
absl::StatusOr<UnpackedBatch> Unpack(const TrainingBatch& batch, const std::string& policy, const ModelConfig& shape);

// kFailedPrecondition names the turn with a token older than `bound` that would be trained on. The exchange lets none
// through; a gradient is the last place where that promise can be kept.
absl::Status CheckStaleness(const UnpackedBatch& batch, uint32_t bound);

}  // namespace tandem
