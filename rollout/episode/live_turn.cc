#include "rollout/episode/live_turn.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "base/status.h"
#include "policy/tokenizer/utf8.h"

namespace tandem {
namespace {

void RecordRuns(const std::vector<VersionCount>& runs, google::protobuf::RepeatedPtrField<proto::VersionRun>* into) {
  into->Reserve(static_cast<int>(runs.size()));
  for (const VersionCount& run : runs) {
    proto::VersionRun* recorded = into->Add();
    recorded->mutable_version()->set_incarnation(run.version.incarnation);
    recorded->mutable_version()->set_number(run.version.number);
    recorded->set_count(run.count);
  }
}

}  // namespace

LiveTurn::LiveTurn(TurnStart start, const Clock& clock)
    : start_(std::move(start)), decoder_(start_.seat->language->tokenizer()), clock_(clock), started_s_(clock.Now()) {}

void LiveTurn::Wait(std::coroutine_handle<> waiter, bool for_token) {
  TANDEM_CHECK(!waiter_);
  waiter_ = waiter;
  waits_for_token_ = for_token;
}

void LiveTurn::OnToken(int32_t id) {
  if (first_token_s_ < 0) first_token_s_ = clock_.Now();
  if (seat().language->Ends(id)) return;
  const std::string more = decoder_.Push(id);
  text_ += more;
  if (!more.empty() && waiter_ && waits_for_token_) std::exchange(waiter_, {}).resume();
}

void LiveTurn::OnDone(GenerateResult result) {
  TANDEM_CHECK(!ended_);
  result_ = std::move(result);
  if (cancelled_) result_.finish = proto::CANCELLED;
  text_ += decoder_.Finish();
  ended_ = true;
  ended_s_ = clock_.Now();
  if (first_token_s_ < 0) first_token_s_ = ended_s_;
  if (waiter_) std::exchange(waiter_, {}).resume();
}

void LiveTurn::OnReply(RemoteReply reply, double temperature) {
  start_.temperature = static_cast<float>(temperature);
  GenerateResult nothing;
  nothing.finish = !reply.fault.empty() ? proto::CANCELLED : reply.stopped ? proto::STOP : proto::LENGTH;
  if (!reply.fault.empty()) {
    AddFault(reply.fault, reply.detail);
    remote_fault_ = faults_.back();
  }
  // Chat models like to begin or end with a newline, which belongs to no answer.
  text_ = std::string(absl::StripAsciiWhitespace(reply.answer.text()));
  remote_ = std::move(reply.answer);
  OnDone(std::move(nothing));
}

void LiveTurn::Cancel() {
  if (ended_ || cancelled_) return;
  cancelled_ = true;
  waiter_ = {};
  seat().player->Cancel(*this);
  TANDEM_CHECK(ended_);
}

void LiveTurn::AddFault(std::string_view kind, std::string detail) {
  proto::Fault& fault = faults_.emplace_back();
  fault.set_kind(std::string(kind));
  fault.set_detail(std::move(detail));
}

TurnTokens LiveTurn::Record(uint32_t index, double reward, bool with_text, proto::Turn* turn) {
  index_ = index;
  turn->set_turn(index);
  for (const LiveTurn* parent : start_.parents) turn->add_parents(parent->index());
  turn->set_role(seat().role);
  turn->set_policy(seat().policy);
  turn->set_node(node());
  turn->set_prompt_tokens(static_cast<uint32_t>(prompt().size()));
  turn->set_output_tokens(static_cast<uint32_t>(result_.output.size()));
  RecordRuns(result_.version_runs, turn->mutable_version_runs());
  RecordRuns(result_.cache_runs, turn->mutable_cache_runs());
  for (const CacheRestart& restart : result_.restarts) {
    proto::CacheRestart* recorded = turn->add_restarts();
    recorded->set_output(restart.output);
    RecordRuns(restart.cache_runs, recorded->mutable_cache_runs());
  }
  turn->mutable_sampling()->set_temperature(temperature());
  turn->mutable_sampling()->set_max_new_tokens(static_cast<uint32_t>(seat().max_new_tokens));
  turn->set_random_key(random_key());
  turn->set_finish(finish());
  turn->set_terminated(stopped_by_itself());
  turn->set_truncated(finish() == proto::LENGTH);
  turn->set_masked(masked_);
  for (proto::Fault& fault : faults_) *turn->add_faults() = std::move(fault);
  proto::NamedValue* team = turn->add_rewards();
  team->set_name("team");
  team->set_value(static_cast<float>(reward));
  turn->mutable_times()->set_started(started_s_);
  turn->mutable_times()->set_first_token(first_token_s_);
  turn->mutable_times()->set_ended(ended_s_);
  if (with_text) RecordText(turn);
  if (remote_) *turn->mutable_remote() = *std::move(remote_);
  TurnTokens tokens;
  tokens.loss_mask.assign(result_.output.size(), masked_ ? 0 : 1);
  tokens.prompt_ids = std::move(start_.prompt);
  tokens.output_ids = std::move(result_.output);
  tokens.sampled_logprobs = std::move(result_.sampled_logprobs);
  tokens.model_logprobs = std::move(result_.model_logprobs);
  return tokens;
}

void LiveTurn::RecordText(proto::Turn* turn) const {
  if (remote_) {
    turn->set_prompt_text(Utf8Lossy(start_.question));
    turn->add_output_pieces(Utf8Lossy(text_));
    return;
  }
  const Tokenizer& tokenizer = seat().language->tokenizer();
  const auto decode = [&](std::span<const int32_t> ids) { return Utf8Lossy(tokenizer.Decode(ids)); };
  turn->set_prompt_text(Utf8Lossy(tokenizer.Decode(start_.prompt, {.keep_special_tokens = true})));
  if (result_.version_runs.empty()) {
    turn->add_output_pieces(text_);
    return;
  }
  size_t at = 0;
  for (const VersionCount& run : result_.version_runs) {
    turn->add_output_pieces(decode(std::span(result_.output).subspan(at, run.count)));
    at += run.count;
  }
}

}  // namespace tandem
