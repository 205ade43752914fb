// A player whose turns are written by the test, a token at a time, in any order.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "policy/language.h"
#include "rollout/episode/live_turn.h"
#include "rollout/episode/player.h"

namespace tandem {

class FakePlayer final : public Player {
 public:
  // What a turn will say; "!" at its end: it is cut there by its length.
  using Say = std::function<std::string(const LiveTurn& turn, Script script)>;

  FakePlayer(const Language* language, Say say) : language_(language), say_(std::move(say)) {}

  absl::Status Begin(LiveTurn& turn, Script script) override {
    std::string text = say_(turn, script);
    const bool cut = !text.empty() && text.back() == '!';
    if (cut) text.pop_back();
    TANDEM_ASSIGN_OR_RETURN(std::vector<int32_t> ids, language_->Turn(text));
    if (cut) ids.pop_back();
    begun_.push_back(language_->tokenizer().Decode(turn.prompt()));
    live_.push_back({&turn, std::move(ids), 0, cut});
    return absl::OkStatus();
  }

  void Cancel(LiveTurn& turn) override {
    for (size_t i = 0; i < live_.size(); ++i) {
      if (live_[i].turn != &turn) continue;
      ++cancelled_;
      return End(i, proto::CANCELLED);
    }
  }

  size_t live() const { return live_.size(); }
  const std::vector<std::string>& begun() const { return begun_; }  // prompts, in their order
  int cancelled() const { return cancelled_; }

  // Writes the next token of the i-th live turn.
  void Step(size_t i) {
    Live& live = live_[i];
    LiveTurn* const turn = live.turn;
    const int32_t id = live.ids[live.written++];
    turn->OnToken(id);
    // Turns may have come or gone meanwhile.
    for (size_t j = 0; j < live_.size(); ++j) {
      if (live_[j].turn != turn || live_[j].written < live_[j].ids.size()) continue;
      return End(j, live_[j].cut ? proto::LENGTH : proto::STOP);
    }
  }

  void FinishAll() {
    while (!live_.empty()) Step(0);
  }

 private:
  struct Live {
    LiveTurn* turn;
    std::vector<int32_t> ids;
    size_t written;
    bool cut;
  };

  void End(size_t i, proto::FinishReason finish) {
    Live live = std::move(live_[i]);
    live_.erase(live_.begin() + static_cast<ptrdiff_t>(i));
    GenerateResult result;
    result.output.assign(live.ids.begin(), live.ids.begin() + static_cast<ptrdiff_t>(live.written));
    result.sampled_logprobs.assign(live.written, -0.5f);
    result.model_logprobs.assign(live.written, -0.25f);
    if (live.written > 0) result.version_runs = {{{0, 1}, static_cast<uint32_t>(live.written)}};
    result.finish = finish;
    live.turn->OnDone(std::move(result));
  }

  const Language* const language_;
  const Say say_;
  std::vector<Live> live_;
  std::vector<std::string> begun_;
  int cancelled_ = 0;
};

}  // namespace tandem
