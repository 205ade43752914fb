// One attempt of a team at one task.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "proto/group.h"
#include "rollout/env/environment.h"
#include "rollout/episode/live_turn.h"
#include "rollout/episode/program.h"
#include "rollout/episode/team.h"
#include "rollout/episode/timers.h"

namespace tandem {

// What episodes share. All of it outlives them.
struct Setting {
  const Environment& environment;
  const Clock& clock;
  int max_nodes;
  Timers* timers = nullptr;                 // null: tools take no time
  const proto::ToolConfig* tool = nullptr;  // that each step calls; null: none
};

// Which versions read in the rows of a turn: of an episode (its index), a seat and a node, with a prompt of so many
// tokens.
using ReadersOf = std::function<Reading(uint32_t episode, const Seat& seat, uint32_t node, size_t prompt)>;

struct EpisodeStart {
  uint32_t index = 0;  // within the group
  uint64_t seed = 0;   // of the group
  float temperature = 1;
  bool measured = false;   // whether the measures of an evaluation are wanted
  bool scripted = false;   // of the warm start: no tool is called
  ReadersOf readers = {};  // empty: whichever is the engine's newest
};

// What a program says of its episode.
struct Outcome {
  std::string answer;
  double reward = 0;
  bool truncated = false;
  std::vector<proto::Fault> faults;
  std::vector<std::pair<std::string_view, double>> measures;  // names are literals
};

// Whether people will want to read an episode.
enum class Readable { kNo, kIfMixed, kYes };  // kIfMixed: when two versions wrote one of its turns

// Stays where it is. Dropping it cancels its turns; not to be dropped while its program runs, that is from within a
// callback.
class Episode {
 public:
  using EpisodeProgram = Program<Outcome> (*)(Episode&);

  // `task` and `team` outlive the episode.
  Episode(const Setting& setting, const Team& team, const Task& task, const EpisodeStart& start);

  // Runs `program` until it first waits; it goes on inside of the engines' Step. `unfinished` goes down by one when it
  // is over, at once or later.
  void Play(EpisodeProgram program, int* unfinished);

  const Environment& environment() const { return setting_.environment; }
  const Team& team() const { return team_; }
  const Task& task() const { return task_; }
  int max_nodes() const { return setting_.max_nodes; }
  bool measured() const { return start_.measured; }

  // A role is asked. The turn lives as long as the episode. Where it could not begin, it has ended without a word and
  // status() says why.
  LiveTurn& Ask(const Seat& seat, uint32_t node, std::vector<const LiveTurn*> parents, std::string_view prompt,
                Script script);

  // co_await episode.CallTool(node): as long as the tool of that node's step takes, where there is one.
  Timers::Sleep CallTool(uint32_t node) const;

  const absl::Status& status() const { return status_; }  // an error ends the group

  // Once the program is over: writes the episode down, its turns in the order of seats and nodes, and adds the tokens
  // of its turns to `tokens` in the same order. Once.
  void Record(Readable readable, proto::Episode* episode, std::vector<TurnTokens>* tokens);

 private:
  Program<void> Run(EpisodeProgram program, int* unfinished);
  std::vector<LiveTurn*> TurnsInOrder() const;

  const Setting& setting_;
  const Team& team_;
  const Task& task_;
  const EpisodeStart start_;
  absl::Status status_;
  Outcome outcome_;
  std::vector<std::unique_ptr<LiveTurn>> turns_;
  Program<void> program_;  // after the turns: dropped before they are cancelled
};

}  // namespace tandem
