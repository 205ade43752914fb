// What several tests of playing share: a small run, its tickets, and groups compared.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rollout/cast.h"
#include "rollout/group_play.h"
#include "tests/rollout/babbling_decoder.h"

namespace tandem {

inline proto::Config SmallConfig(bool shared = false) {
  proto::Config config;
  for (const std::string policy : {"planner", "executor"}) {
    proto::ModelConfig& model = *(*config.mutable_policies())[shared ? "both" : policy].mutable_model();
    model.set_hidden(8);
    model.set_heads(2);
    model.set_kv_heads(2);
    model.set_intermediate(8);
    model.set_layers(1);
    if (shared) (*config.mutable_roles())[policy].set_policy("both");
  }
  config.mutable_rollout()->set_max_batch(24);
  return config;
}

inline proto::Ticket MakeTicket(uint64_t id, proto::Purpose purpose, uint32_t episodes) {
  proto::Ticket ticket;
  ticket.set_id(id);
  ticket.set_purpose(purpose);
  ticket.set_split(purpose == proto::EVAL ? proto::HELD_OUT : proto::TRAINING);
  ticket.set_task(id);
  ticket.set_seed(MixKey(99, id));
  ticket.set_episodes(episodes);
  ticket.set_temperature(1);
  return ticket;
}

inline std::vector<proto::Ticket> MakeTickets(size_t count, proto::Purpose purpose, uint32_t episodes) {
  std::vector<proto::Ticket> tickets;
  for (size_t id = 0; id < count; ++id) tickets.push_back(MakeTicket(id, purpose, episodes));
  return tickets;
}

inline DecoderFactory Babblers(const Environment& environment) {
  return [&environment](const ModelConfig& shape, int64_t pages) -> absl::StatusOr<std::unique_ptr<Decoder>> {
    return std::make_unique<BabblingDecoder>(shape, pages, *CharacterTokenizer::Create(environment.alphabet()));
  };
}

// What a group says, but for times, for masked turns, which depend on what was faster, and for the numbers that these
// shift.
inline std::string Unmasked(const proto::Group& group, const std::vector<wire::Frame>& frames) {
  std::string text;
  for (const TurnView& view : ViewTurns(group, frames)) {
    if (view.turn->masked()) continue;
    proto::Turn turn = *view.turn;
    turn.clear_times();
    text += turn.ShortDebugString();
    for (int32_t id : view.output_ids) text += absl::StrCat(id, " ");
    for (float logprob : view.sampled_logprobs) text += absl::StrCat(logprob, " ");
    for (uint8_t mask : view.loss_mask) text += absl::StrCat(static_cast<int>(mask), " ");
  }
  for (const proto::Episode& episode : group.episodes()) {
    text += episode.rewards(0).ShortDebugString();
    for (const proto::Fault& fault : episode.faults()) text += fault.ShortDebugString();
  }
  return text;
}

}  // namespace tandem
