#include <utility>

#include "base/status.h"
#include "rollout/episode/live_turn.h"
#include "rollout/episode/player.h"

namespace tandem {
namespace {

class EnginePlayer final : public Player {
 public:
  explicit EnginePlayer(Engine* engine) : engine_(engine) {}

  absl::Status Begin(LiveTurn& turn, Script) override {
    GenerateRequest request;
    request.prompt = turn.prompt();
    request.temperature = turn.temperature();
    request.max_new_tokens = turn.seat().max_new_tokens;
    request.stop_ids = turn.seat().language->end_ids();
    request.random_key = turn.random_key();
    request.readers = turn.reading().readers;
    request.restarts = turn.reading().restarts;
    TANDEM_ASSIGN_OR_RETURN(turn.request, engine_->Submit(
                                              std::move(request), [&turn](int32_t id) { turn.OnToken(id); },
                                              [&turn](GenerateResult result) { turn.OnDone(std::move(result)); }));
    return absl::OkStatus();
  }

  void Cancel(LiveTurn& turn) override { engine_->Cancel(turn.request); }

 private:
  Engine* const engine_;
};

}  // namespace

std::unique_ptr<Player> MakeEnginePlayer(Engine* engine) { return std::make_unique<EnginePlayer>(engine); }

}  // namespace tandem
