#include "rollout/episode/episode.h"

#include <algorithm>
#include <tuple>

#include "base/digest.h"
#include "base/status.h"
#include "rollout/env/tool.h"

namespace tandem {

Episode::Episode(const Setting& setting, const Team& team, const Task& task, const EpisodeStart& start)
    : setting_(setting), team_(team), task_(task), start_(start) {}

void Episode::Play(EpisodeProgram program, int* unfinished) {
  program_ = Run(program, unfinished);
  program_.Start();
}

Program<void> Episode::Run(EpisodeProgram program, int* unfinished) {
  Program<Outcome> playing = program(*this);
  outcome_ = co_await playing;
  --*unfinished;
}

LiveTurn& Episode::Ask(const Seat& seat, uint32_t node, std::vector<const LiveTurn*> parents, std::string_view prompt,
                       Script script) {
  TurnStart start;
  start.seat = &seat;
  start.node = node;
  start.parents = std::move(parents);
  start.temperature = start_.temperature;
  start.random_key = MixKey(MixKey(MixKey(start_.seed, start_.index), seat.role_hash), node);
  start.question = std::string(prompt);
  absl::StatusOr<std::vector<int32_t>> ids = std::vector<int32_t>();
  if (!seat.player->asked_in_text()) ids = seat.language->Prompt(prompt);
  if (ids.ok()) start.prompt = *std::move(ids);
  if (start_.readers) start.reading = start_.readers(start_.index, seat, node, start.prompt.size());
  turns_.push_back(std::make_unique<LiveTurn>(std::move(start), setting_.clock));
  LiveTurn& turn = *turns_.back();
  absl::Status begun = ids.ok() ? seat.player->Begin(turn, script) : ids.status();
  if (!begun.ok()) {
    status_.Update(Annotate(begun, absl::StrCat("asking the ", seat.role, " \"", std::string(prompt), "\"")));
    GenerateResult nothing;
    nothing.finish = proto::CANCELLED;
    turn.OnDone(std::move(nothing));
  }
  return turn;
}

Timers::Sleep Episode::CallTool(uint32_t node) const {
  if (setting_.tool == nullptr || start_.scripted) return Timers::Sleep(nullptr, 0);
  const uint64_t key = MixKey(MixKey(MixKey(start_.seed, start_.index), StableHash("tool")), node);
  return Timers::Sleep(setting_.timers, ToolSeconds(*setting_.tool, key));
}

std::vector<LiveTurn*> Episode::TurnsInOrder() const {
  std::vector<LiveTurn*> turns;
  turns.reserve(turns_.size());
  for (const auto& turn : turns_) {
    // A turn that was cancelled before its first token is none.
    if (turn->tokens() > 0 || turn->answered_from_afar()) turns.push_back(turn.get());
  }
  // Seats are one array, so that their addresses are in the order of the team.
  std::sort(turns.begin(), turns.end(), [](const LiveTurn* a, const LiveTurn* b) {
    return std::make_tuple(&a->seat(), a->node()) < std::make_tuple(&b->seat(), b->node());
  });
  return turns;
}

void Episode::Record(Readable readable, proto::Episode* episode, std::vector<TurnTokens>* tokens) {
  const std::vector<LiveTurn*> turns = TurnsInOrder();
  const bool mixed = std::any_of(turns.begin(), turns.end(), [](const LiveTurn* turn) { return turn->mixed(); });
  const bool with_text = readable == Readable::kYes || (readable == Readable::kIfMixed && mixed);
  episode->set_episode(start_.index);
  episode->mutable_turns()->Reserve(static_cast<int>(turns.size()));
  for (LiveTurn* turn : turns) {
    const uint32_t index = static_cast<uint32_t>(episode->turns_size());
    tokens->push_back(turn->Record(index, outcome_.reward, with_text, episode->add_turns()));
  }
  proto::NamedValue* team = episode->add_rewards();
  team->set_name("team");
  team->set_value(static_cast<float>(outcome_.reward));
  for (proto::Fault& fault : outcome_.faults) *episode->add_faults() = std::move(fault);
  for (const auto& [name, value] : outcome_.measures) {
    proto::NamedValue* measure = episode->add_measures();
    measure->set_name(std::string(name));
    measure->set_value(static_cast<float>(value));
  }
  episode->set_terminated(!outcome_.truncated);
  episode->set_truncated(outcome_.truncated);
  if (!with_text) return;
  episode->set_question(task_.question);
  episode->set_answer(outcome_.answer);
  episode->set_reference(task_.answer);
}

}  // namespace tandem
