// One policy's weights and optimizer, and the step that makes the next version of them. Knows nothing of links and
// clocks: the same batches give the same weights, bit for bit, wherever they come from.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "exchange/link.h"
#include "policy/files/model_folder.h"
#include "policy/model.h"
#include "proto/config.pb.h"
#include "trainer/collective.h"
#include "trainer/loss.h"
#include "trainer/minibatch.h"
#include "trainer/optimizer.h"
#include "trainer/tally.h"

namespace tandem {

struct UpdaterOptions {
  std::string policy;
  proto::PolicyConfig config;
  ModelConfig shape;
  const ModelFolder* start =
      nullptr;                 // whose weights are the first ones, read by Create; null: they are drawn at random
  uint32_t sft_steps = 0;      // length of the warm start's schedule
  uint32_t train_steps = 1;    // length of the reinforcement part's
  uint64_t seed = 0;           // of the run: initial weights and the shuffles into minibatches
  std::string device = "cpu";  // "cpu" or "cuda"
  int64_t tokens_per_pass =
      0;  // bounds memory, does not change what is learned but for rounding; 0: what suits the device
};

// Everything that a step depends on besides its batch.
struct UpdaterState {
  std::vector<float> weights;  // [parameters] in ParameterLayout's order, as are the others
  std::vector<float> first;    // AdamW's moments
  std::vector<float> second;
  std::vector<float> reference;  // weights of version 0; empty unless kl_coefficient > 0 and the warm start is over
  uint64_t updates = 0;          // that AdamW has made
};

struct StepResult {
  bool accepted = true;        // false: a loss or gradient was not finite, and everything is as it was before the step
  std::string why;             // then: "gradient of minibatch 2 of 2 is not finite"
  proto::StepMetrics metrics;  // all but tokens_per_s, wait_share and step_s
  int64_t tokens = 0;          // of prompts and outputs through the training pass, over all ranks
};

class Updater {
 public:
  // Initial weights are those of `start`, or depend on (seed, policy) alone. `collective` has to stay.
  // kInvalidArgument: an unknown loss or an impossible shape.
  static absl::StatusOr<std::unique_ptr<Updater>> Create(UpdaterOptions options, Collective& collective);

  // The warm start is over: the optimizer forgets it, and the weights become the reference of the KL penalty.
  absl::Status BeginReinforcement();

  // One supervised step (batch.header.purpose SFT) or one reinforcement step. All ranks call it with the same batch.
  // When no turn has an advantage the weights and the optimizer stay as they are, and the step is accepted all the
  // same. Errors: see Unpack and CheckStaleness; a failure of torch or of the collective, after which the updater is of
  // no more use.
  absl::StatusOr<StepResult> Step(const TrainingBatch& batch);

  absl::StatusOr<UpdaterState> Save();
  // kInvalidArgument: not of this shape.
  absl::Status Restore(const UpdaterState& state);

  // The flat weights, as a version publishes them.
  absl::StatusOr<std::string> WeightBytes();

  const UpdaterOptions& options() const { return options_; }

 private:
  Updater(UpdaterOptions options, Collective& collective) : options_(std::move(options)), collective_(collective) {}

  absl::Status SetFirstWeights();
  absl::StatusOr<StepResult> TakeStep(const TrainingBatch& batch);
  // Zeroes the gradient and sums into it over the minibatch's passes and all ranks. Returns whether the loss and the
  // gradient's norm are finite on every rank. `proximal`: [passes], or empty: the weights are still the step's first.
  absl::StatusOr<bool> ComputeGradient(const Minibatch& minibatch, const std::vector<at::Tensor>& proximal,
                                       bool supervised, StepTally& tally, double& norm);
  LossInput MakeLossInput(const Pass& pass, const TokenScores& scores, const at::Tensor& proximal, double token_count);
  std::vector<at::Tensor> Rescore(const Minibatch& minibatch);  // [passes][targets] log-probabilities, no gradient
  void Move(double norm, double learning_rate);
  absl::Status MakeReference(const at::Tensor& weights);

  const UpdaterOptions options_;
  Collective& collective_;
  LossSpec loss_ = {};
  Schedule sft_schedule_, train_schedule_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Model> reference_;  // null unless there is a KL penalty
  std::unique_ptr<AdamW> optimizer_;
};

}  // namespace tandem
