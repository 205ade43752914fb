// A group on the wire: its header (message.proto) and four frames that hold the tokens of all its turns, turn after
// turn in the order of the header, episode after episode.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "proto/message.pb.h"
#include "proto/wire/packet.h"

namespace tandem {

inline constexpr uint32_t kGroupFormat = 1;

// ids: int32, prompt then output of each turn. The others have one entry per output token: logprobs of the distribution
// that was sampled from, and of the model at temperature 1 (float32; scripted turns: 0), and the loss mask (uint8, 0 or
// 1). Bytes are little-endian.
enum GroupFrame { kIds = 0, kSampledLogprobs = 1, kModelLogprobs = 2, kLossMask = 3, kFramesPerGroup = 4 };

// One turn's tokens, for writing.
struct TurnTokens {
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> output_ids;
  std::vector<float> sampled_logprobs;  // [output]
  std::vector<float> model_logprobs;    // [output]
  std::vector<uint8_t> loss_mask;       // [output]
};

// One turn's tokens, for reading: views into the frames, valid as long as they are. episode and turn point into the
// group's header.
struct TurnView {
  const proto::Episode* episode;
  const proto::Turn* turn;
  std::span<const int32_t> prompt_ids;
  std::span<const int32_t> output_ids;
  std::span<const float> sampled_logprobs;
  std::span<const float> model_logprobs;
  std::span<const uint8_t> loss_mask;
};

// The frames of a group whose turns, in order, have `tokens`. The [output] vectors of a turn must have one size.
std::vector<wire::Frame> PackFrames(std::span<const TurnTokens> tokens);

// Checks that header and frames agree, whatever a peer has sent: format; episode indices distinct and below
// ticket.episodes; version runs without empty ones, never going back, that add up to the output tokens of every turn
// that was not scripted (scripted turns have none); frame sizes; ids not negative, log-probabilities finite, mask bytes
// 0 or 1. kInvalidArgument names the group, its worker and what disagrees.
absl::Status CheckGroup(const proto::Group& group, std::span<const wire::Frame> frames);

// The turns of a group for which CheckGroup was OK.
std::vector<TurnView> ViewTurns(const proto::Group& group, std::span<const wire::Frame> frames);

}  // namespace tandem
