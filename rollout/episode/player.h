// How a role answers: with an engine, from a script, or as a remote model does.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/random.h"
#include "rollout/engine/engine.h"

namespace tandem {

class LiveTurn;

// What a scripted role says; with random numbers something wrong.
using Script = absl::FunctionRef<std::string(RandomStream* corrupt)>;

// Not thread-safe. Outlives the turns that it plays.
class Player {
 public:
  virtual ~Player() = default;

  // Whether it reads turn.question() and not turn.prompt(), which is empty then.
  virtual bool asked_in_text() const { return false; }

  // Begins to write `turn`, whose tokens come to turn.OnToken and whose end comes to turn.OnDone, now or later. The
  // turn stays where it is until then. kInvalidArgument: the prompt does not fit, or the tokenizer has no
  // words for the script.
  virtual absl::Status Begin(LiveTurn& turn, Script script) = 0;

  // Ends a turn that is being written; turn.OnDone is called before this returns.
  virtual void Cancel(LiveTurn& turn) = 0;
};

// The policy behind `engine`, which outlives the player.
std::unique_ptr<Player> MakeEnginePlayer(Engine* engine);

// Says at once what the script says; a share `corrupt` of the turns, chosen by the turn's random key, is wrong.
std::unique_ptr<Player> MakeScriptedPlayer(double corrupt);

}  // namespace tandem
