#include "rollout/episode/remote_player.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "rollout/episode/live_turn.h"

namespace tandem {

absl::Status RemotePlayer::Begin(LiveTurn& turn, Script) {
  // 31 bits: what every server takes.
  const auto seed = static_cast<uint32_t>(turn.random_key() & 0x7fffffff);
  turn.request = calls_.Begin({turn.question(), turn.seat().max_new_tokens, seed});
  turns_[turn.request] = &turn;
  return absl::OkStatus();
}

void RemotePlayer::Cancel(LiveTurn& turn) {
  calls_.Forget(turn.request);
  turns_.erase(turn.request);
  turn.OnDone({});
}

void RemotePlayer::Deliver() {
  if (turns_.empty()) return;
  for (auto& [number, reply] : calls_.Take()) {
    const auto found = turns_.find(number);
    if (found == turns_.end()) continue;  // cancelled by the program of another one
    LiveTurn& turn = *found->second;
    turns_.erase(found);
    const bool faulty = !reply.fault.empty();
    faults_in_a_row_ = faulty ? faults_in_a_row_ + 1 : 0;
    if (faulty) LogWarning(turn.seat().role, ": ", reply.detail);
    if (faults_in_a_row_ >= calls_.model().config().give_up_after()) {
      status_.Update(absl::UnavailableError(absl::StrCat("roles.", turn.seat().role, ".remote: ", faults_in_a_row_,
                                                         " turns in a row have no answer: ", reply.detail)));
    }
    turn.OnReply(std::move(reply), calls_.model().config().temperature());
  }
}

}  // namespace tandem
