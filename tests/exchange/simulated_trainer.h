// All ranks of one policy in a simulation: warm start, then step after step. A step begins when every rank has the
// batch, as collectives would have it; ranks other than 0 ask for the next one without waiting for rank 0 to publish.
// They die, all together, and go on from a checkpoint.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "base/digest.h"
#include "tests/exchange/simulation.h"

namespace tandem {

class SimulatedTrainer {
 public:
  SimulatedTrainer(Simulation* sim, std::string policy)
      : sim_(*sim), policy_(std::move(policy)), config_(sim->scenario().config) {
    Begin(config_.sft().steps() > 0 ? proto::SFT : proto::TRAIN, 0);
  }

 private:
  // From a checkpoint of this state.
  void Begin(proto::Purpose purpose, uint32_t step) {
    ++life_;
    have_batch_ = 0;
    ranks_.clear();
    for (uint32_t rank = 0; rank < config_.policies().at(policy_).ranks(); ++rank) {
      proto::Hello hello;
      hello.set_kind(proto::TRAINER);
      hello.set_name(absl::StrCat("trainer-", policy_, "-", rank));
      hello.set_policy(policy_);
      hello.set_rank(rank);
      ranks_.push_back(sim_.Join(hello));
    }
    for (size_t rank = 1; rank < ranks_.size(); ++rank) Next(rank, purpose, step);
    purpose == proto::TRAIN ? Publish(step) : Next(0, purpose, step);
  }

  void Die() {
    ++life_;
    sim_.checker().Saw(kTrainerDied);
    for (const wire::SessionId rank : ranks_) sim_.After(sim_.Exponential(3), [this, rank] { sim_.Lose(rank); });
    const auto some = [this](uint32_t most) { return static_cast<uint32_t>(sim_.random().Below(most + 1)); };
    const bool trained = published_ && sim_.Chance(0.7);
    const proto::Purpose purpose = trained || config_.sft().steps() == 0 ? proto::TRAIN : proto::SFT;
    const uint32_t kept = version_ - std::min(version_, some(sim_.Chance(0.9) ? 8 : version_));  // mostly a recent one
    const uint32_t step = trained ? kept : purpose == proto::SFT ? some(sft_done_) : 0;
    sim_.After(4 + sim_.Exponential(4), [=, this] {
      for (const wire::SessionId rank : std::vector(ranks_)) sim_.Lose(rank);
      purpose == proto::SFT&& step >= config_.sft().steps() ? Begin(proto::TRAIN, 0) : Begin(purpose, step);
    });
  }

  // A call whose answer does not concern a later life.
  void Call(size_t rank, proto::Header header, Simulation::Answer answer, std::vector<wire::Frame> frames = {}) {
    sim_.Call(
        ranks_[rank], std::move(header),
        [this, life = life_, answer = std::move(answer)](const proto::Header& reply, const auto& frames) {
          if (life == life_) answer(reply, frames);
        },
        std::move(frames));
  }

  void Next(size_t rank, proto::Purpose purpose, uint32_t step) {
    if (purpose == proto::TRAIN && (step >= config_.train().steps() || !sim_.scenario().step_s.contains(policy_)))
      return;
    proto::Header header;
    header.mutable_batch_request()->set_policy(policy_);
    header.mutable_batch_request()->set_purpose(purpose);
    header.mutable_batch_request()->set_step(step);
    Call(rank, header, [this, purpose, step](const proto::Header& reply, const auto&) {
      if (reply.batch().publish_again()) return Publish(step);
      if (reply.batch().finished()) return sim_.checker().Violated("a batch was expected");
      if (++have_batch_ == ranks_.size()) Step(purpose, step);
    });
  }

  void Step(proto::Purpose purpose, uint32_t step) {
    have_batch_ = 0;
    if (sim_.scenario().trainer_dies > 0 && sim_.Chance(sim_.scenario().trainer_dies)) return Die();
    const auto typical = sim_.scenario().step_s.find(policy_);
    double seconds = sim_.Exponential(typical == sim_.scenario().step_s.end() ? 1 : typical->second);
    if (sim_.Chance(sim_.scenario().stall)) {
      sim_.checker().Saw(kStalled);
      seconds *= 50;
    }
    sim_.After(seconds, [=, this] { purpose == proto::SFT ? FinishSft(step) : FinishTrain(step); });
  }

  void NextOthers(proto::Purpose purpose, uint32_t step) {
    for (size_t rank = 1; rank < ranks_.size(); ++rank) Next(rank, purpose, step);
  }

  void FinishSft(uint32_t step) {
    const bool last = step + 1 == config_.sft().steps();
    const proto::Purpose purpose = last ? proto::TRAIN : proto::SFT;
    const uint32_t next = last ? 0 : step + 1;
    NextOthers(purpose, next);
    proto::Header header;
    header.mutable_step_done()->set_policy(policy_);
    header.mutable_step_done()->set_purpose(proto::SFT);
    header.mutable_step_done()->set_step(step);
    Call(0, header, [=, this](const auto&, const auto&) {
      sft_done_ = std::max(sft_done_, step + 1);
      last ? Publish(0) : Next(0, purpose, next);
    });
  }

  void FinishTrain(uint32_t step) {
    // The same step from the same weights ends in the same way.
    const bool taken_before = published_ && step < version_;
    if (taken_before || !sim_.Chance(sim_.scenario().non_finite)) {
      NextOthers(proto::TRAIN, step + 1);
      return Publish(step + 1);
    }
    NextOthers(proto::TRAIN, step);
    proto::Header header;
    header.mutable_weights_commit()->set_policy(policy_);
    header.mutable_weights_commit()->mutable_version()->set_number(step);
    header.mutable_weights_commit()->set_rejected_non_finite(true);
    Call(0, header, [=, this](const auto&, const auto&) { Next(0, proto::TRAIN, step); });
  }

  // BEGIN, two chunks, COMMIT, each when the one before is answered; then the next batch.
  void Publish(uint32_t number) {
    const std::string bytes = absl::StrCat("weights of ", policy_, " ", number);
    proto::Header header;
    proto::WeightsBegin& begin = *header.mutable_weights_begin();
    begin.set_policy(policy_);
    begin.mutable_version()->set_number(number);
    begin.set_bytes(bytes.size());
    begin.set_chunks(2);
    begin.set_digest(Digest(bytes));
    Call(0, header, [=, this](const proto::Header& reply, const auto&) {
      reply.ack().known() ? Next(0, proto::TRAIN, number) : SendChunk(number, bytes, 0);
    });
  }

  void SendChunk(uint32_t number, const std::string& bytes, uint32_t index) {
    proto::Header header;
    if (index == 2) {
      header.mutable_weights_commit()->set_policy(policy_);
      header.mutable_weights_commit()->mutable_version()->set_number(number);
      header.mutable_weights_commit()->set_digest(Digest(bytes));
      return Call(0, header, [=, this](const proto::Header& reply, const auto&) {
        if (reply.has_weights_begin()) return Publish(number);
        version_ = std::max(version_, number);
        published_ = true;
        Next(0, proto::TRAIN, number);
      });
    }
    header.mutable_weights_chunk()->set_policy(policy_);
    header.mutable_weights_chunk()->mutable_version()->set_number(number);
    header.mutable_weights_chunk()->set_index(index);
    header.mutable_weights_chunk()->set_offset(index * 5);
    Call(0, header,
         [=, this](const proto::Header& reply, const auto&) {
           reply.has_weights_begin() ? Publish(number) : SendChunk(number, bytes, index + 1);
         },
         {wire::MakeFrame(index == 0 ? bytes.substr(0, 5) : bytes.substr(5))});
  }

  Simulation& sim_;
  std::string policy_;
  const proto::Config& config_;
  std::vector<wire::SessionId> ranks_;
  size_t have_batch_ = 0;  // ranks
  uint64_t life_ = 0;      // counts deaths and beginnings
  uint32_t sft_done_ = 0, version_ = 0;
  bool published_ = false;
};

}  // namespace tandem
