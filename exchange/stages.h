// The course of a run: sft -> eval after_sft -> train -> eval final -> finished.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "proto/config.pb.h"
#include "proto/message.pb.h"

namespace tandem {

enum class Stage { kSft, kEvalAfterSft, kTrain, kEvalFinal, kFinished };

// "sft", "evaluation after_sft", ... for messages.
const char* StageName(Stage stage);

// Where one policy goes on when a run is resumed.
struct ResumePoint {
  proto::Purpose purpose = proto::SFT;
  uint32_t step = 0;         // TRAIN: the version number resumed from; SFT: supervised steps already done
  uint32_t incarnation = 0;  // that wrote the checkpoint
};

// Moves on one stage at a time. The warm start lasts until every policy has published its first version, also when
// there are no supervised steps. Thread-compatible.
class Stages {
 public:
  // `resume`: of the policies that do not start afresh.
  Stages(const proto::Config& config, const std::map<std::string, ResumePoint>& resume);

  Stage stage() const { return stage_; }

  // The first version that a policy publishes in this incarnation, and its first supervised step (sft.steps: none).
  uint32_t first_version(const std::string& policy) const;
  uint32_t first_sft_step(const std::string& policy) const;

  // Goes on to the next stage, leaving out evaluations without episodes, and the one after the warm start when a policy
  // has been trained further already.
  Stage Next();

 private:
  std::map<std::string, ResumePoint> resume_;
  uint32_t sft_steps_;
  bool evaluates_;
  bool trained_before_ = false;
  Stage stage_ = Stage::kSft;
};

}  // namespace tandem
