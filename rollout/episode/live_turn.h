// A turn that is being written, or has been.
#pragma once

#include <coroutine>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "policy/tokenizer/stream_decoder.h"
#include "proto/group.h"
#include "rollout/engine/engine.h"
#include "rollout/episode/team.h"
#include "rollout/remote/remote_model.h"

namespace tandem {

// What a turn is before it is written.
struct TurnStart {
  const Seat* seat;
  uint32_t node = 0;
  std::vector<const LiveTurn*> parents;  // the turns that its prompt came from
  std::string question;                  // what is asked,
  std::vector<int32_t> prompt;           // and as ids
  float temperature = 1;
  uint64_t random_key = 0;
  Reading reading = {};
};

// Stays where it is. One program at a time waits for it. Destroying it cancels it.
class LiveTurn {
 public:
  LiveTurn(TurnStart start, const Clock& clock);
  ~LiveTurn() { Cancel(); }
  LiveTurn(const LiveTurn&) = delete;
  LiveTurn& operator=(const LiveTurn&) = delete;

  class NextAwaiter {
   public:
    explicit NextAwaiter(LiveTurn& turn) : turn_(turn) {}
    bool await_ready() const { return turn_.read_ < turn_.text_.size() || turn_.ended_; }
    void await_suspend(std::coroutine_handle<> waiter) { turn_.Wait(waiter, /*for_token=*/true); }
    std::optional<char> await_resume() const {
      if (turn_.read_ == turn_.text_.size()) return std::nullopt;
      return turn_.text_[turn_.read_++];
    }

   private:
    LiveTurn& turn_;
  };

  class DoneAwaiter {
   public:
    explicit DoneAwaiter(LiveTurn& turn) : turn_(turn) {}
    bool await_ready() const { return turn_.ended_; }
    void await_suspend(std::coroutine_handle<> waiter) { turn_.Wait(waiter, /*for_token=*/false); }
    void await_resume() const {}

   private:
    LiveTurn& turn_;
  };

  // co_await turn.Next(): the next byte as soon as its character is written; nullopt at the end.
  NextAwaiter Next() { return NextAwaiter(*this); }
  // co_await turn.Done(): the end of the turn.
  DoneAwaiter Done() { return DoneAwaiter(*this); }

  // Ends the turn where it is, unless it has ended. Whoever waits for it is not resumed any more, and is to be dropped.
  void Cancel();

  const Seat& seat() const { return *start_.seat; }
  uint32_t node() const { return start_.node; }
  const std::string& question() const { return start_.question; }
  const std::vector<int32_t>& prompt() const { return start_.prompt; }
  float temperature() const { return start_.temperature; }
  uint64_t random_key() const { return start_.random_key; }
  const Reading& reading() const { return start_.reading; }
  const std::string& text() const { return text_; }  // written so far, without the end token
  bool ended() const { return ended_; }
  proto::FinishReason finish() const { return result_.finish; }
  bool stopped_by_itself() const { return finish() == proto::STOP || finish() == proto::SCRIPTED; }
  // Once ended; of a remote model's answer as far as it has told.
  size_t tokens() const { return remote_ ? static_cast<size_t>(remote_->token_ids_size()) : result_.output.size(); }
  bool mixed() const { return result_.version_runs.size() > 1; }  // two versions or more wrote it

  void AddFault(std::string_view kind, std::string detail);
  // Of a remote model that gave no answer.
  const std::optional<proto::Fault>& remote_fault() const { return remote_fault_; }
  bool answered_from_afar() const { return remote_.has_value(); }  // by a remote model, or with a fault in its place
  void set_masked() { masked_ = true; }
  bool masked() const { return masked_; }

  // For the player.
  void OnToken(int32_t id);
  void OnDone(GenerateResult result);
  void OnReply(RemoteReply reply, double temperature);  // of a remote model: all of the turn, and its end
  Engine::RequestId request = 0;

  // Writes the finished turn, and moves its tokens out. `turn` is its index and `parents` that of each parent; text is
  // written for people. Once.
  TurnTokens Record(uint32_t index, double reward, bool with_text, proto::Turn* turn);
  const std::vector<const LiveTurn*>& parents() const { return start_.parents; }
  uint32_t index() const { return index_; }  // within the episode's record, once recorded

 private:
  void Wait(std::coroutine_handle<> waiter, bool for_token);
  void RecordText(proto::Turn* turn) const;

  TurnStart start_;
  StreamDecoder decoder_;
  const Clock& clock_;
  GenerateResult result_;
  std::optional<proto::RemoteAnswer> remote_;
  std::optional<proto::Fault> remote_fault_;
  std::string text_;
  size_t read_ = 0;  // characters that Next has handed out
  std::coroutine_handle<> waiter_;
  bool waits_for_token_ = false;
  bool ended_ = false;
  bool cancelled_ = false;
  bool masked_ = false;
  double started_s_, first_token_s_ = -1, ended_s_ = -1;
  std::vector<proto::Fault> faults_;
  uint32_t index_ = 0;
};

}  // namespace tandem
