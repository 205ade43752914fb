#include <utility>

#include "base/digest.h"
#include "base/status.h"
#include "rollout/episode/live_turn.h"
#include "rollout/episode/player.h"

namespace tandem {
namespace {

class ScriptedPlayer final : public Player {
 public:
  ScriptedPlayer(const CharacterTokenizer* tokenizer, double corrupt) : tokenizer_(tokenizer), corrupt_(corrupt) {}

  absl::Status Begin(LiveTurn& turn, Script script) override {
    RandomStream random(MixKey(turn.random_key(), kCorrupt));
    const bool corrupt = random.Uniform() < corrupt_;
    TANDEM_ASSIGN_OR_RETURN(std::vector<int32_t> ids, tokenizer_->Encode(script(corrupt ? &random : nullptr)));
    ids.push_back(CharacterTokenizer::kEnd);
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

  const CharacterTokenizer* const tokenizer_;
  const double corrupt_;
};

}  // namespace

std::unique_ptr<Player> MakeScriptedPlayer(const CharacterTokenizer* tokenizer, double corrupt) {
  return std::make_unique<ScriptedPlayer>(tokenizer, corrupt);
}

}  // namespace tandem
