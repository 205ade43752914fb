// A role that a remote model plays: a frozen partner.
#pragma once

#include <cstdint>
#include <map>

#include "absl/status/status.h"
#include "rollout/episode/player.h"
#include "rollout/remote/remote_calls.h"

namespace tandem {

// Answers come in Deliver, which whoever drives the programs calls. An answer that did not come is a fault of its turn,
// which then ends without a word.
class RemotePlayer final : public Player {
 public:
  explicit RemotePlayer(RemoteModel model) : calls_(std::move(model)) {}

  bool asked_in_text() const override { return true; }
  absl::Status Begin(LiveTurn& turn, Script script) override;
  void Cancel(LiveTurn& turn) override;

  // Ends the turns whose answers have come; their programs go on within it.
  void Deliver();
  // Waits until an answer has come, timeout_s at most.
  void Wait(double timeout_s) { calls_.Wait(timeout_s); }

  size_t waiting() const { return turns_.size(); }  // turns without an answer
  // kUnavailable: the last give_up_after turns were all faulty; names the endpoint and the last fault.
  const absl::Status& status() const { return status_; }

 private:
  RemoteCalls calls_;
  std::map<uint64_t, LiveTurn*> turns_;  // by the number of the question
  uint32_t faults_in_a_row_ = 0;
  absl::Status status_;
};

}  // namespace tandem
