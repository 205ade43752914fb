#include "launch/repeated_policy.h"

#include <ATen/Parallel.h>
#include <google/protobuf/util/field_comparator.h>
#include <google/protobuf/util/message_differencer.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "base/status.h"
#include "trainer/updater_checkpoint.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<RepeatedPolicy>> RepeatedPolicy::Open(const JournaledRun& run,
                                                                     const proto::Config& config,
                                                                     const std::string& policy,
                                                                     const PolicySource& source, bool exact) {
  const proto::PolicyConfig& options = config.policies().at(policy);
  std::unique_ptr<RepeatedPolicy> p(new RepeatedPolicy(policy, options.threads(), run.opening.incarnation(), exact));
  p->collective_ = MakeLocalCollective();
  TANDEM_ASSIGN_OR_RETURN(p->updater_, Updater::Create({.policy = policy,
                                                        .config = options,
                                                        .shape = source.shape,
                                                        .start = source.folder ? &*source.folder : nullptr,
                                                        .sft_steps = config.sft().steps(),
                                                        .train_steps = config.train().steps(),
                                                        .seed = config.seed(),
                                                        .device = "cpu"},
                                                       *p->collective_));
  const auto resumed = run.opening.resumed().find(policy);
  if (resumed == run.opening.resumed().end()) return p;
  const CheckpointName name = {resumed->second.incarnation(), resumed->second.purpose() == proto::SFT,
                               resumed->second.step()};
  TANDEM_ASSIGN_OR_RETURN(Checkpoint from,
                          ReadCheckpoint(CheckpointFolder(run.folder, policy, name), p->updater_->options().shape));
  p->reinforcing_ = !name.sft;
  p->sft_done_ = name.sft ? name.step : config.sft().steps();
  TANDEM_RETURN_IF_ERROR(p->updater_->Restore(StateOf(std::move(from))));
  return p;
}

absl::Status RepeatedPolicy::InstallInto(Engine* engine) const {
  std::vector<float> flat(weights_.size() / sizeof(float));
  std::memcpy(flat.data(), weights_.data(), flat.size() * sizeof(float));
  return engine->Install({incarnation_, *version_}, flat);
}

absl::StatusOr<Checkpoint> RepeatedPolicy::MakeCheckpoint() {
  return CheckpointOf(*updater_, {incarnation_, /*sft=*/!version_.has_value(), version_.value_or(sft_done_)});
}

void RepeatedPolicy::Given(TrainingBatch batch) {
  const bool supervised = batch.header.purpose() == proto::SFT;
  // A past batch, for a trainer that went on from a checkpoint, is of no use here: that step has been repeated.
  const uint32_t next = supervised ? sft_done_ : version_.value_or(0);
  if (batch.header.groups().empty() || batch.header.step() < next) return;
  (supervised ? sft_batch_ : train_batch_) = std::move(batch);
}

absl::StatusOr<StepResult> RepeatedPolicy::Step(const TrainingBatch& batch, uint32_t step, const char* what) {
  if (batch.header.groups().empty() || batch.header.step() != step) {
    return absl::DataLossError(
        absl::StrCat("different: ", policy_, " had no batch for ", what, " ", step, " before it was done"));
  }
  ++steps_;
  at::set_num_threads(static_cast<int>(threads_));
  TANDEM_ASSIGN_OR_RETURN(StepResult result, updater_->Step(batch));
  metrics_ = result.metrics;
  return result;
}

absl::Status RepeatedPolicy::FinishSftStep(const proto::StepDone& done) {
  if (done.step() < sft_done_) return absl::OkStatus();
  TANDEM_ASSIGN_OR_RETURN(const StepResult result, Step(sft_batch_, done.step(), "supervised step"));
  ++sft_done_;
  return Compare(absl::StrCat("supervised step ", done.step() + 1, " of ", policy_), done.metrics(), result.metrics);
}

absl::StatusOr<bool> RepeatedPolicy::Commit(const proto::WeightsCommit& commit) {
  const uint32_t number = commit.version().number();
  const std::string name = absl::StrCat("version ", commit.version().incarnation(), ".", number, " of ", policy_);
  if (version_ && number <= *version_ && !commit.rejected_non_finite()) return false;  // published once more
  if (!exact_ && commit.rejected_non_finite()) return false;                           // the schedule has no step here
  if (version_) {
    TANDEM_ASSIGN_OR_RETURN(const StepResult result, Step(train_batch_, *version_, "the step from version"));
    if (!exact_ && !result.accepted) {
      return absl::AbortedError(absl::StrCat("step ", *version_ + 1, " of ", policy_, ": ", result.why));
    }
    if (result.accepted == commit.rejected_non_finite()) {
      return absl::DataLossError(absl::StrCat("different: the step from version ", *version_, " of ", policy_, " was ",
                                              result.accepted ? "not " : "", "taken now (", result.why, ")"));
    }
    TANDEM_RETURN_IF_ERROR(
        Compare(absl::StrCat("step ", *version_ + 1, " of ", policy_), commit.metrics(), result.metrics));
    if (!result.accepted) return false;
  } else if (!std::exchange(reinforcing_, true)) {
    TANDEM_RETURN_IF_ERROR(updater_->BeginReinforcement());
  }
  version_ = number;
  TANDEM_ASSIGN_OR_RETURN(weights_, updater_->WeightBytes());
  const std::string digest = Digest(weights_);
  if (!exact_ || digest == commit.digest()) return true;
  return absl::DataLossError(
      absl::StrCat("different: ", name, " has digest ", digest, " now, the journal has ", commit.digest()));
}

// All that a step computes; how long it took is another matter.
absl::Status RepeatedPolicy::Compare(const std::string& what, const proto::StepMetrics& was,
                                     const proto::StepMetrics& is) const {
  if (!exact_) return absl::OkStatus();
  google::protobuf::util::MessageDifferencer differencer;
  google::protobuf::util::DefaultFieldComparator fields;
  fields.set_treat_nan_as_equal(true);  // what no token could tell
  differencer.set_field_comparator(&fields);
  std::string differences;
  differencer.ReportDifferencesToString(&differences);
  for (const char* timed : {"tokens_per_s", "wait_share", "step_s", "cpu_s"}) {
    differencer.IgnoreField(proto::StepMetrics::descriptor()->FindFieldByName(timed));
  }
  if (differencer.Compare(was, is)) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("different: ", what, ", journal -> now: ", differences));
}

}  // namespace tandem
