#include "trainer/trainer.h"

#include <ATen/Parallel.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "exchange/link.h"
#include "policy/device.h"
#include "policy/policy_source.h"
#include "trainer/checkpoint.h"
#include "trainer/collective.h"
#include "trainer/model_shape.h"
#include "trainer/updater.h"
#include "trainer/updater_checkpoint.h"

namespace tandem {
namespace {

// One more in a row is a sign of broken weights, which further batches do not mend.
constexpr int kNonFiniteStepsInARow = 5;

std::string DeviceWord(proto::Device device) {
  return device == proto::AUTO ? "auto" : device == proto::CUDA ? "cuda" : "cpu";
}

// Of a step in virtual time.
double StepSeconds(const proto::DurationsConfig& durations, const std::string& policy, proto::Purpose purpose) {
  const auto found = durations.trainers().find(policy);
  const proto::TrainerDurationsConfig& of =
      found == durations.trainers().end() ? proto::TrainerDurationsConfig::default_instance() : found->second;
  return purpose == proto::SFT ? of.sft_step_s() : of.step_s();
}

// A call that is given up because of `stop`: the loop finds out by itself, on all ranks at once.
absl::Status UnlessCancelled(absl::Status status) { return absl::IsCancelled(status) ? absl::OkStatus() : status; }

absl::StatusOr<std::unique_ptr<TrainerLink>> Connect(const TrainerRun& run, wire::Network& network, const Clock& clock,
                                                     const std::atomic<bool>& stop) {
  const proto::TransportConfig& transport = run.config.transport();
  wire::ClientOptions options{.endpoint = run.endpoint,
                              .hello = {},
                              .connect_s = transport.connect_s(),
                              .resend_s = transport.resend_s(),
                              .silence_s = transport.silence_s(),
                              .deadline_s = transport.deadline_s(),
                              .max_message_bytes = transport.max_message_bytes(),
                              .stop = &stop};
  options.hello.set_kind(proto::TRAINER);
  options.hello.set_name(absl::StrCat("trainer-", run.policy, "-", run.rank));
  options.hello.set_policy(run.policy);
  options.hello.set_rank(run.rank);
  options.hello.set_build(run.build);
  options.hello.set_config_digest(run.config_digest);
  options.hello.set_pid(getpid());
  TANDEM_ASSIGN_OR_RETURN(auto client, network.Connect(clock, std::move(options)));
  return std::make_unique<TrainerLink>(std::move(client), transport.chunk_bytes());
}

// What one rank of a trainer holds, and where in its life it stands.
class Trainer {
 public:
  static absl::StatusOr<std::unique_ptr<Trainer>> Open(const TrainerRun& run, wire::Network& network,
                                                       const std::atomic<bool>& stop);

  // Each goes on from position() until its stage is over or the run stops. Returns whether the run goes on.
  absl::StatusOr<bool> WarmStart();
  absl::StatusOr<bool> Reinforce();

  bool in_warm_start() const { return position_.sft; }
  // Ends the warm start: the state is that of version 0 from now on.
  absl::Status BecomeVersionZero();
  // The version of position(), that the next step starts from.
  absl::Status PublishStart();
  absl::Status WriteCheckpoint();
  // The exchange does not wait for a trainer that has left.
  void Leave() { link_.reset(); }

 private:
  enum class Next { kStep, kStageOver, kLeave };

  Trainer(const TrainerRun& run, std::unique_ptr<Clock> clock, const std::atomic<bool>& stop)
      : run_(run), stop_(stop), clock_(std::move(clock)) {}
  absl::Status Restore();
  // Waits for the batch of the step at position_. All ranks come to the same answer.
  absl::StatusOr<Next> Await(proto::Purpose purpose, TrainingBatch& batch);
  absl::StatusOr<StepResult> TimedStep(const TrainingBatch& batch);
  proto::Version version() const;

  const TrainerRun& run_;
  const std::atomic<bool>& stop_;
  const std::unique_ptr<Clock> clock_;
  std::string device_;
  std::unique_ptr<Collective> collective_;
  std::unique_ptr<TrainerLink> link_;
  std::unique_ptr<Updater> updater_;
  std::map<std::string, std::string> companions_;  // of its checkpoints' weights
  CheckpointName position_;                        // incarnation of this run, stage, and steps done in it
  double waited_s_ = 0;                            // for the batch of the current step
  double last_metrics_s_ = 0;                      // when the metrics of the step before were taken
  double last_cpu_s_ = 0;
};

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Open(const TrainerRun& run, wire::Network& network,
                                                       const std::atomic<bool>& stop) {
  const auto found = run.config.policies().find(run.policy);
  if (found == run.config.policies().end()) {
    return absl::InvalidArgumentError(absl::StrCat("policies: '", run.policy, "' is not in the configuration"));
  }
  const proto::PolicyConfig& config = found->second;
  std::unique_ptr<Trainer> t(new Trainer(run, network.MakeClock(0), stop));
  TANDEM_ASSIGN_OR_RETURN(t->device_, ResolveDevice(DeviceWord(config.device())));
  at::set_num_threads(static_cast<int>(config.threads()));
  TANDEM_ASSIGN_OR_RETURN(t->collective_, MakeCollective({.who = absl::StrCat("trainer ", run.policy),
                                                          .rank = run.rank,
                                                          .ranks = config.ranks(),
                                                          .rendezvous = run.rendezvous,
                                                          .timeout_s = run.config.transport().deadline_s()},
                                                         t->device_));
  TANDEM_ASSIGN_OR_RETURN(t->link_, Connect(run, network, *t->clock_, stop));
  if (stop) return absl::CancelledError("told to stop before the first step");  // nothing is learned, nothing kept
  absl::StatusOr<PolicySource> source =
      OpenPolicySource(config.init(), TrainerModelShape(config.model(), 0), run.alphabet, config.system());
  if (!source.ok()) return Annotate(source.status(), absl::StrCat("policies.", run.policy));
  t->companions_ = std::move(source->companions);
  TANDEM_ASSIGN_OR_RETURN(t->updater_, Updater::Create({.policy = run.policy,
                                                        .config = config,
                                                        .shape = source->shape,
                                                        .start = source->folder ? &*source->folder : nullptr,
                                                        .sft_steps = run.config.sft().steps(),
                                                        .train_steps = run.config.train().steps(),
                                                        .seed = run.config.seed(),
                                                        .device = t->device_},
                                                       *t->collective_));
  t->position_ = {t->link_->welcome().incarnation(), /*sft=*/true, /*step=*/0};
  if (!run.resume_from.empty()) TANDEM_RETURN_IF_ERROR(t->Restore());
  t->last_metrics_s_ = t->clock_->Now();
  t->last_cpu_s_ = t->clock_->CpuSeconds();
  return t;
}

absl::Status Trainer::Restore() {
  TANDEM_ASSIGN_OR_RETURN(Checkpoint checkpoint, ReadCheckpoint(run_.resume_from, updater_->options().shape));
  if (checkpoint.policy != run_.policy) {
    return absl::InvalidArgumentError(
        absl::StrCat(run_.resume_from, "/state.json: is of policy ", checkpoint.policy, ", expected ", run_.policy));
  }
  position_.sft = checkpoint.name.sft;
  position_.step = checkpoint.name.step;
  return updater_->Restore(StateOf(std::move(checkpoint)));
}

absl::StatusOr<bool> Trainer::WarmStart() {
  while (position_.step < run_.config.sft().steps()) {
    TrainingBatch batch;
    TANDEM_ASSIGN_OR_RETURN(const Next next, Await(proto::SFT, batch));
    if (next == Next::kLeave) return false;
    if (next == Next::kStageOver) break;
    TANDEM_ASSIGN_OR_RETURN(const StepResult result, TimedStep(batch));
    if (!result.accepted) {
      return absl::AbortedError(absl::StrCat("trainer ", run_.policy, ": supervised step ", position_.step + 1, ": ",
                                             result.why, "; expected a smaller policies.", run_.policy,
                                             ".sft.learning_rate"));
    }
    const uint32_t done = position_.step++;
    if (run_.rank == 0) TANDEM_RETURN_IF_ERROR(UnlessCancelled(link_->FinishSftStep(done, result.metrics)));
  }
  return true;
}

absl::Status Trainer::BecomeVersionZero() {
  position_.sft = false;
  position_.step = 0;
  return updater_->BeginReinforcement();
}

absl::Status Trainer::PublishStart() {
  if (run_.rank != 0) return absl::OkStatus();
  proto::StepMetrics metrics;
  metrics.set_policy(run_.policy);
  metrics.set_step(position_.step);
  metrics.set_version(position_.step);
  TANDEM_ASSIGN_OR_RETURN(const std::string weights, updater_->WeightBytes());
  return UnlessCancelled(link_->Publish(version(), weights, metrics));
}

absl::StatusOr<bool> Trainer::Reinforce() {
  const uint32_t every = run_.config.train().checkpoint_every();
  int non_finite = 0;
  while (position_.step < run_.config.train().steps()) {
    if (every > 0 && position_.step % every == 0 && non_finite == 0) TANDEM_RETURN_IF_ERROR(WriteCheckpoint());
    TrainingBatch batch;
    TANDEM_ASSIGN_OR_RETURN(const Next next, Await(proto::TRAIN, batch));
    if (next == Next::kLeave) return false;
    if (next == Next::kStageOver) break;
    TANDEM_ASSIGN_OR_RETURN(const StepResult result, TimedStep(batch));
    if (!result.accepted) {
      LogWarning("trainer ", run_.policy, ": step ", position_.step + 1, " was not taken: ", result.why);
      if (run_.rank == 0) TANDEM_RETURN_IF_ERROR(UnlessCancelled(link_->RejectNonFinite(version(), result.metrics)));
      if (++non_finite < kNonFiniteStepsInARow) continue;
      return absl::AbortedError(absl::StrCat("trainer ", run_.policy, ": ", non_finite,
                                             " steps in a row were not finite (", result.why, ") from version ",
                                             position_.step));
    }
    non_finite = 0;
    ++position_.step;
    if (run_.rank == 0) {
      TANDEM_ASSIGN_OR_RETURN(const std::string weights, updater_->WeightBytes());
      TANDEM_RETURN_IF_ERROR(UnlessCancelled(link_->Publish(version(), weights, result.metrics)));
    }
  }
  return true;
}

absl::StatusOr<Trainer::Next> Trainer::Await(proto::Purpose purpose, TrainingBatch& batch) {
  // One rank may have seen `stop`, or been told to leave, when another had not: they leave together.
  TANDEM_ASSIGN_OR_RETURN(const bool stopped, AnyRank(*collective_, stop_.load(), device_));
  if (stopped) return Next::kLeave;
  const double asked_s = clock_->Now();
  auto answer = link_->NextBatch(purpose, position_.step);
  while (answer.ok() && answer->header.publish_again()) {
    TANDEM_RETURN_IF_ERROR(PublishStart());
    answer = link_->NextBatch(purpose, position_.step);
  }
  TANDEM_RETURN_IF_ERROR(UnlessCancelled(answer.status()));
  waited_s_ = clock_->Now() - asked_s;
  const bool told = !answer.ok() || answer->header.stopping();
  TANDEM_ASSIGN_OR_RETURN(const bool leave, AnyRank(*collective_, told, device_));
  if (leave) return Next::kLeave;
  batch = *std::move(answer);
  TANDEM_ASSIGN_OR_RETURN(const bool over, AnyRank(*collective_, batch.header.finished(), device_));
  return over ? Next::kStageOver : Next::kStep;
}

absl::StatusOr<StepResult> Trainer::TimedStep(const TrainingBatch& batch) {
  const double start_s = clock_->Now();
  TANDEM_ASSIGN_OR_RETURN(StepResult result, updater_->Step(batch));
  clock_->Spend(StepSeconds(run_.config.durations(), run_.policy, batch.header.purpose()));
  const double end_s = clock_->Now();
  const double whole_s = end_s - last_metrics_s_;
  result.metrics.set_step_s(whole_s);
  if (whole_s > 0) result.metrics.set_wait_share(waited_s_ / whole_s);
  if (end_s > start_s) result.metrics.set_tokens_per_s(static_cast<double>(result.tokens) / (end_s - start_s));
  last_metrics_s_ = end_s;
  const double cpu_s = clock_->CpuSeconds();
  result.metrics.set_cpu_s(cpu_s - std::exchange(last_cpu_s_, cpu_s));
  return result;
}

absl::Status Trainer::WriteCheckpoint() {
  if (run_.rank != 0) return absl::OkStatus();
  TANDEM_ASSIGN_OR_RETURN(Checkpoint checkpoint, CheckpointOf(*updater_, position_));
  checkpoint.companions = companions_;
  return tandem::WriteCheckpoint(run_.run_folder, checkpoint, run_.config.train().keep_checkpoints());
}

proto::Version Trainer::version() const {
  proto::Version version;
  version.set_incarnation(position_.incarnation);
  version.set_number(position_.step);
  return version;
}

}  // namespace

absl::Status RunTrainer(const TrainerRun& run, wire::Network& network, const std::atomic<bool>& stop) {
  TANDEM_ASSIGN_OR_RETURN(const std::unique_ptr<Trainer> trainer, Trainer::Open(run, network, stop));
  if (trainer->in_warm_start()) {
    TANDEM_ASSIGN_OR_RETURN(const bool goes_on, trainer->WarmStart());
    if (!goes_on) {
      trainer->Leave();
      return trainer->WriteCheckpoint();
    }
    TANDEM_RETURN_IF_ERROR(trainer->BecomeVersionZero());
  }
  TANDEM_RETURN_IF_ERROR(trainer->PublishStart());
  // Whether all steps were made or the run stops: what was learned is kept.
  TANDEM_RETURN_IF_ERROR(trainer->Reinforce().status());
  trainer->Leave();
  return trainer->WriteCheckpoint();
}

}  // namespace tandem
