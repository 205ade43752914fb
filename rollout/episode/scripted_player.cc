#include <utility>

#include "base/digest.h"
#include "base/status.h"
#include "rollout/episode/live_turn.h"
#include "rollout/episode/player.h"

namespace tandem {
namespace {

class ScriptedPlayer final : public Player {
 public:
  explicit ScriptedPlayer(double corrupt) : corrupt_(corrupt) {}

  absl::Status Begin(LiveTurn& turn, Script script) override {
    RandomStream random(MixKey(turn.random_key(), kCorrupt));
    const bool corrupt = random.Uniform() < corrupt_;
    TANDEM_ASSIGN_OR_RETURN(std::vector<int32_t> ids, turn.seat().language->Turn(script(corrupt ? &random : nullptr)));
    for (int32_t id : ids) turn.OnToken(id);
    GenerateResult result;
    result.sampled_logprobs.resize(ids.size());
    result.model_logprobs.resize(ids.size());
    result.output = std::move(ids);
    result.finish = proto::SCRIPTED;
    turn.OnDone(std::move(result));
    return absl::OkStatus();
  }

  void Cancel(LiveTurn&) override {}  // a scripted turn ends as it begins

 private:
  static inline const uint64_t kCorrupt = StableHash("corrupt");

  const double corrupt_;
};

}  // namespace

std::unique_ptr<Player> MakeScriptedPlayer(double corrupt) { return std::make_unique<ScriptedPlayer>(corrupt); }

}  // namespace tandem
