#include "trainer/batch.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "proto/group.h"

namespace tandem {
namespace {

std::string Name(const TrainingTurn& turn) {
  return absl::StrCat("ticket ", turn.ticket, ", episode ", turn.episode, ", ", turn.role, " ", turn.node);
}

std::optional<float> TeamReward(const proto::Episode& episode) {
  for (const proto::NamedValue& reward : episode.rewards()) {
    if (reward.name() == "team") return reward.value();
  }
  return std::nullopt;
}

// Version runs, spread over the output tokens.
absl::Status FillAges(const proto::Turn& turn, uint32_t start, TrainingTurn& out) {
  for (const proto::VersionRun& run : turn.version_runs()) {
    const uint32_t number = run.version().number();
    if (number > start) {
      return absl::FailedPreconditionError(
          absl::StrCat(Name(out), ": written by version ", number, ", but the step starts from version ", start));
    }
    out.ages.insert(out.ages.end(), run.count(), static_cast<int32_t>(start - number));
  }
  if (out.ages.size() != out.output_ids.size()) {
    return absl::InvalidArgumentError(absl::StrCat(Name(out), ": version runs add up to ", out.ages.size(),
                                                   " tokens, expected ", out.output_ids.size()));
  }
  return absl::OkStatus();
}

uint32_t NumberOf(const google::protobuf::RepeatedPtrField<proto::PolicyVersion>& versions, const std::string& policy,
                  uint32_t otherwise) {
  for (const proto::PolicyVersion& version : versions) {
    if (version.policy() == policy) return version.version().number();
  }
  return otherwise;
}

// [partners]
std::vector<int32_t> Drift(const proto::Group& group, const proto::Episode& episode,
                           const std::vector<std::string>& partners) {
  std::vector<int32_t> drift;
  for (const std::string& partner : partners) {
    const uint32_t now = NumberOf(group.at_batch(), partner, 0);
    int32_t most = -1;
    for (const proto::Turn& turn : episode.turns()) {
      if (turn.policy() != partner) continue;
      for (const proto::VersionRun& run : turn.version_runs()) {
        most = std::max(most, static_cast<int32_t>(now - run.version().number()));
      }
    }
    drift.push_back(most);
  }
  return drift;
}

std::vector<std::string> Partners(const proto::Batch& batch, const std::string& policy) {
  std::vector<std::string> partners;
  if (batch.groups().empty()) return partners;
  for (const proto::PolicyVersion& version : batch.groups(0).at_batch()) {
    if (version.policy() != policy) partners.push_back(version.policy());
  }
  return partners;
}

absl::Status CheckTokens(const TrainingTurn& turn, const ModelConfig& shape) {
  if (turn.prompt_ids.empty()) return absl::InvalidArgumentError(absl::StrCat(Name(turn), ": has no prompt"));
  if (turn.length() > shape.context) {
    return absl::InvalidArgumentError(
        absl::StrCat(Name(turn), ": has ", turn.length(), " tokens, the model's context is ", shape.context));
  }
  for (const auto ids : {turn.prompt_ids, turn.output_ids}) {
    for (const int32_t id : ids) {
      if (id < 0 || id >= shape.vocabulary) {
        return absl::InvalidArgumentError(
            absl::StrCat(Name(turn), ": token ", id, " is outside the vocabulary of ", shape.vocabulary));
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TrainingTurn> MakeTurn(const proto::Batch& batch, uint64_t ticket, const TurnView& view) {
  const bool train = batch.purpose() == proto::TRAIN;
  TrainingTurn turn{.ticket = ticket,
                    .episode = view.episode->episode(),
                    .role = view.turn->role(),
                    .node = view.turn->node(),
                    .masked = view.turn->masked(),
                    .mixed = view.turn->version_runs_size() > 1,
                    .reward = train ? TeamReward(*view.episode).value_or(0) : 0,
                    .prompt_ids = view.prompt_ids,
                    .output_ids = view.output_ids,
                    .sampled_logprobs = view.sampled_logprobs,
                    .model_logprobs = view.model_logprobs,
                    .loss_mask = view.loss_mask,
                    .ages = {},
                    .drift = {}};
  if (train) {
    TANDEM_RETURN_IF_ERROR(FillAges(*view.turn, batch.step(), turn));
  } else {
    turn.ages.assign(turn.output_ids.size(), 0);
  }
  return turn;
}

}  // namespace

int64_t TrainingTurn::unmasked() const {
  return std::count_if(loss_mask.begin(), loss_mask.end(), [](uint8_t mask) { return mask != 0; });
}

absl::StatusOr<UnpackedBatch> Unpack(const TrainingBatch& batch, const std::string& policy, const ModelConfig& shape) {
  UnpackedBatch out;
  out.partners = Partners(batch.header, policy);
  const bool train = batch.header.purpose() == proto::TRAIN;
  std::vector<std::tuple<uint64_t, uint32_t, double>> rewards;  // ticket, episode, reward
  for (int g = 0; g < batch.header.groups_size(); ++g) {
    const proto::Group& group = batch.header.groups(g);
    const uint64_t ticket = group.ticket().id();
    const size_t first = static_cast<size_t>(g) * kFramesPerGroup;
    if (batch.frames.size() < first + kFramesPerGroup) {
      return absl::InvalidArgumentError(absl::StrCat("batch of ", policy, ": ", batch.frames.size(), " frames for ",
                                                     batch.header.groups_size(), " groups, expected ", kFramesPerGroup,
                                                     " for each"));
    }
    const auto frames = std::span(batch.frames).subspan(first, kFramesPerGroup);
    TANDEM_RETURN_IF_ERROR(Annotate(CheckGroup(group, frames), absl::StrCat("batch of ", policy, ", ticket ", ticket)));
    for (const proto::Episode& episode : group.episodes()) {
      const std::optional<float> reward = TeamReward(episode);
      if (train && !reward) {
        return absl::InvalidArgumentError(absl::StrCat("batch of ", policy, ", ticket ", ticket, ", episode ",
                                                       episode.episode(), ": has no reward named team"));
      }
      rewards.emplace_back(ticket, episode.episode(), reward.value_or(0));
    }
    for (const TurnView& view : ViewTurns(group, frames)) {
      if (view.turn->policy() != policy) continue;
      TANDEM_ASSIGN_OR_RETURN(TrainingTurn turn, MakeTurn(batch.header, ticket, view));
      TANDEM_RETURN_IF_ERROR(CheckTokens(turn, shape));
      const uint32_t start = batch.header.step();
      if (train) turn.queued = static_cast<int32_t>(start - NumberOf(group.at_arrival(), policy, start));
      if (train) turn.drift = Drift(group, *view.episode, out.partners);
      out.turns.push_back(std::move(turn));
    }
  }
  const auto place = [](const TrainingTurn& t) { return std::tie(t.ticket, t.episode, t.role, t.node); };
  std::stable_sort(out.turns.begin(), out.turns.end(),
                   [&](const TrainingTurn& a, const TrainingTurn& b) { return place(a) < place(b); });
  std::sort(rewards.begin(), rewards.end());
  for (const auto& [ticket, episode, reward] : rewards) out.reward_mean += reward;
  out.episodes = static_cast<uint32_t>(rewards.size());
  if (out.episodes > 0) out.reward_mean /= out.episodes;
  return out;
}

absl::Status CheckStaleness(const UnpackedBatch& batch, uint32_t bound) {
  for (const TrainingTurn& turn : batch.turns) {
    for (size_t i = 0; i < turn.ages.size() && !turn.masked; ++i) {
      if (turn.loss_mask[i] != 0 && turn.ages[i] > static_cast<int32_t>(bound)) {
        return absl::FailedPreconditionError(
            absl::StrCat(Name(turn), ": a token is ", turn.ages[i], " versions old, the bound is ", bound));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem
