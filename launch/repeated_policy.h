// One policy of a run that is repeated: what its trainer did.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "exchange/link.h"
#include "launch/journaled_run.h"
#include "policy/policy_source.h"
#include "rollout/engine/engine.h"
#include "trainer/checkpoint.h"
#include "trainer/updater.h"

namespace tandem {

// Not thread-safe. Errors that begin with "different: " are of a result that is not the recorded one.
class RepeatedPolicy {
 public:
  // In the state in which the run began. `config` is the run's, or another one of the same shape; then `exact` is false
  // and nothing is compared.
  static absl::StatusOr<std::unique_ptr<RepeatedPolicy>> Open(const JournaledRun& run, const proto::Config& config,
                                                              const std::string& policy, const PolicySource& source,
                                                              bool exact);

  // A batch that its trainer was given.
  void Given(TrainingBatch batch);

  // The supervised step was done, as the trainer said. Nothing happens when it was repeated already: a trainer that
  // went on from a checkpoint did it again.
  absl::Status FinishSftStep(const proto::StepDone& done);

  // A version was published, or a step not taken. True: there is a new version, whose weights are `weights`.
  absl::StatusOr<bool> Commit(const proto::WeightsCommit& commit);

  const std::string& weights() const { return weights_; }
  absl::Status InstallInto(Engine* engine) const;
  // Of the last step.
  const proto::StepMetrics& metrics() const { return metrics_; }
  // As its trainer would write it now.
  absl::StatusOr<Checkpoint> MakeCheckpoint();
  uint64_t steps() const { return steps_; }

 private:
  RepeatedPolicy(std::string policy, uint32_t threads, uint32_t incarnation, bool exact)
      : policy_(std::move(policy)), threads_(threads), incarnation_(incarnation), exact_(exact) {}
  absl::StatusOr<StepResult> Step(const TrainingBatch& batch, uint32_t step, const char* what);
  absl::Status Compare(const std::string& what, const proto::StepMetrics& was, const proto::StepMetrics& is) const;

  const std::string policy_;
  const uint32_t threads_, incarnation_;
  const bool exact_;
  std::unique_ptr<Collective> collective_;
  std::unique_ptr<Updater> updater_;
  TrainingBatch sft_batch_, train_batch_;
  bool reinforcing_ = false;
  uint32_t sft_done_ = 0;
  std::optional<uint32_t> version_;
  std::string weights_;
  proto::StepMetrics metrics_;
  uint64_t steps_ = 0;
};

}  // namespace tandem
