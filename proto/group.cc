#include "proto/group.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

static_assert(std::endian::native == std::endian::little, "frames are little-endian and are viewed in place");

constexpr std::array<const char*, kFramesPerGroup> kFrameNames = {"ids", "sampled_logprobs", "model_logprobs",
                                                                  "loss_mask"};

template <typename T>
void Append(const std::vector<T>& values, std::string* bytes) {
  if (values.empty()) return;
  bytes->append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

template <typename T>
std::span<const T> View(const wire::Frame& frame) {
  return {reinterpret_cast<const T*>(frame->data()), frame->size() / sizeof(T)};
}

absl::Status Bad(const std::string& what) { return absl::InvalidArgumentError(what); }

absl::Status CheckVersionRuns(const proto::Turn& turn) {
  if (turn.finish() == proto::SCRIPTED) {
    return turn.version_runs().empty() ? absl::OkStatus() : Bad("a scripted turn has version runs");
  }
  uint64_t sum = 0;
  std::pair<uint32_t, uint32_t> newest = {0, 0};
  for (const proto::VersionRun& run : turn.version_runs()) {
    if (run.count() == 0) return Bad("a version run has no tokens");
    const std::pair version(run.version().incarnation(), run.version().number());
    if (version < newest) {
      return Bad(absl::StrCat("version runs go back from ", newest.first, ".", newest.second, " to ", version.first,
                              ".", version.second));
    }
    newest = version;
    sum += run.count();
  }
  if (sum == turn.output_tokens()) return absl::OkStatus();
  return Bad(
      absl::StrCat("version runs add up to ", sum, " tokens, the turn has ", turn.output_tokens(), " of output"));
}

struct TokenCounts {
  uint64_t ids = 0;
  uint64_t outputs = 0;
};

// Counts are 32 bits each and there are less than 2^32 turns in a header, so that the sums cannot overflow.
absl::StatusOr<TokenCounts> CheckHeader(const proto::Group& group) {
  if (group.format() != kGroupFormat) {
    return Bad(absl::StrCat("format ", group.format(), ", expected ", kGroupFormat));
  }
  TokenCounts counts;
  std::set<uint32_t> seen;
  for (const proto::Episode& episode : group.episodes()) {
    if (episode.episode() >= group.ticket().episodes()) {
      return Bad(absl::StrCat("episode index ", episode.episode(), " of a ticket for ", group.ticket().episodes()));
    }
    if (!seen.insert(episode.episode()).second)
      return Bad(absl::StrCat("episode ", episode.episode(), " occurs twice"));
    for (const proto::Turn& turn : episode.turns()) {
      counts.ids += uint64_t{turn.prompt_tokens()} + turn.output_tokens();
      counts.outputs += turn.output_tokens();
      TANDEM_RETURN_IF_ERROR(
          Annotate(CheckVersionRuns(turn), absl::StrCat("episode ", episode.episode(), ", turn ", turn.turn())));
    }
  }
  return counts;
}

absl::Status CheckSizes(const TokenCounts& counts, std::span<const wire::Frame> frames) {
  if (frames.size() != kFramesPerGroup) {
    return Bad(absl::StrCat(frames.size(), " frames, expected ", static_cast<int>(kFramesPerGroup)));
  }
  const std::array<uint64_t, kFramesPerGroup> expected = {counts.ids * sizeof(int32_t), counts.outputs * sizeof(float),
                                                          counts.outputs * sizeof(float), counts.outputs};
  for (size_t i = 0; i < frames.size(); ++i) {
    if (frames[i]->size() != expected[i]) {
      return Bad(
          absl::StrCat("frame ", kFrameNames[i], " has ", frames[i]->size(), " bytes, the header says ", expected[i]));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckValues(std::span<const wire::Frame> frames) {
  for (int32_t id : View<int32_t>(frames[kIds])) {
    if (id < 0) return Bad(absl::StrCat("frame ids holds ", id));
  }
  for (int i : {kSampledLogprobs, kModelLogprobs}) {
    for (float logprob : View<float>(frames[i])) {
      if (!std::isfinite(logprob)) return Bad(absl::StrCat("frame ", kFrameNames[i], " holds ", logprob));
    }
  }
  for (uint8_t mask : View<uint8_t>(frames[kLossMask])) {
    if (mask > 1) return Bad(absl::StrCat("frame loss_mask holds ", static_cast<int>(mask), ", expected 0 or 1"));
  }
  return absl::OkStatus();
}

absl::Status CheckAll(const proto::Group& group, std::span<const wire::Frame> frames) {
  TANDEM_ASSIGN_OR_RETURN(const TokenCounts counts, CheckHeader(group));
  TANDEM_RETURN_IF_ERROR(CheckSizes(counts, frames));
  return CheckValues(frames);
}

}  // namespace

std::vector<wire::Frame> PackFrames(std::span<const TurnTokens> tokens) {
  std::array<std::string, kFramesPerGroup> bytes;
  for (const TurnTokens& turn : tokens) {
    const size_t outputs = turn.output_ids.size();
    TANDEM_CHECK(turn.sampled_logprobs.size() == outputs);
    TANDEM_CHECK(turn.model_logprobs.size() == outputs);
    TANDEM_CHECK(turn.loss_mask.size() == outputs);
    Append(turn.prompt_ids, &bytes[kIds]);
    Append(turn.output_ids, &bytes[kIds]);
    Append(turn.sampled_logprobs, &bytes[kSampledLogprobs]);
    Append(turn.model_logprobs, &bytes[kModelLogprobs]);
    Append(turn.loss_mask, &bytes[kLossMask]);
  }
  std::vector<wire::Frame> frames;
  for (std::string& frame : bytes) frames.push_back(wire::MakeFrame(std::move(frame)));
  return frames;
}

absl::Status CheckGroup(const proto::Group& group, std::span<const wire::Frame> frames) {
  return Annotate(CheckAll(group, frames), absl::StrCat("group ", group.ticket().id(), " of ", group.worker()));
}

std::vector<TurnView> ViewTurns(const proto::Group& group, std::span<const wire::Frame> frames) {
  std::vector<TurnView> views;
  const auto ids = View<int32_t>(frames[kIds]);
  const auto sampled = View<float>(frames[kSampledLogprobs]);
  const auto model = View<float>(frames[kModelLogprobs]);
  const auto mask = View<uint8_t>(frames[kLossMask]);
  size_t id = 0, output = 0;
  for (const proto::Episode& episode : group.episodes()) {
    for (const proto::Turn& turn : episode.turns()) {
      const size_t prompts = turn.prompt_tokens(), outputs = turn.output_tokens();
      views.push_back({&episode, &turn, ids.subspan(id, prompts), ids.subspan(id + prompts, outputs),
                       sampled.subspan(output, outputs), model.subspan(output, outputs),
                       mask.subspan(output, outputs)});
      id += prompts + outputs;
      output += outputs;
    }
  }
  TANDEM_CHECK(id == ids.size() && output == mask.size());
  return views;
}

}  // namespace tandem
