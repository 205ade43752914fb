#include "exchange/stages.h"

#include "base/status.h"

namespace tandem {

const char* StageName(Stage stage) {
  switch (stage) {
    case Stage::kSft:
      return "sft";
    case Stage::kEvalAfterSft:
      return "evaluation after_sft";
    case Stage::kTrain:
      return "train";
    case Stage::kEvalFinal:
      return "evaluation final";
    case Stage::kFinished:
      return "finished";
  }
  return "?";
}

Stages::Stages(const proto::Config& config, const std::map<std::string, ResumePoint>& resume)
    : resume_(resume), sft_steps_(config.sft().steps()), evaluates_(config.evaluation().episodes() > 0) {
  for (const auto& [policy, point] : resume) {
    if (point.purpose == proto::TRAIN && point.step > 0) trained_before_ = true;
  }
}

uint32_t Stages::first_version(const std::string& policy) const {
  const auto it = resume_.find(policy);
  return it != resume_.end() && it->second.purpose == proto::TRAIN ? it->second.step : 0;
}

uint32_t Stages::first_sft_step(const std::string& policy) const {
  const auto it = resume_.find(policy);
  if (it == resume_.end()) return 0;
  return it->second.purpose == proto::SFT ? it->second.step : sft_steps_;
}

Stage Stages::Next() {
  switch (stage_) {
    case Stage::kSft:
      return stage_ = evaluates_ && !trained_before_ ? Stage::kEvalAfterSft : Stage::kTrain;
    case Stage::kEvalAfterSft:
      return stage_ = Stage::kTrain;
    case Stage::kTrain:
      return stage_ = evaluates_ ? Stage::kEvalFinal : Stage::kFinished;
    case Stage::kEvalFinal:
      return stage_ = Stage::kFinished;
    case Stage::kFinished:
      break;
  }
  TANDEM_CHECK(stage_ != Stage::kFinished);
  return stage_;
}

}  // namespace tandem
