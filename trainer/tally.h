// What a step adds up on its way, over passes, minibatches and ranks.
#pragma once

#include <array>

#include "absl/status/status.h"
#include "proto/metrics.pb.h"
#include "trainer/batch.h"
#include "trainer/collective.h"
#include "trainer/loss.h"
#include "trainer/minibatch.h"

namespace tandem {

class StepTally {
 public:
  // One pass: its loss and sums, the entropy of its targets ([targets]) and their log-probabilities under the weights
  // that the step started from ([targets]; undefined in the warm start).
  void Add(const Pass& pass, const LossOutput& loss, const at::Tensor& entropy, const at::Tensor& proximal);
  // One minibatch: the norm of its gradient, before the clip and over all ranks.
  void AddGradientNorm(double norm);

  // Adds up over the ranks. `device`: where the collective's tensors live.
  absl::Status Reduce(Collective& collective, const std::string& device);

  // Fills in importance_weight_mean, ess, clip_fraction, kl, entropy, loss, grad_norm, mismatch, tokens_trained,
  // log_ratio_by_age.
  void Fill(proto::StepMetrics& metrics) const;

 private:
  enum Sum { kTokens, kWeight, kWeightSquared, kClipped, kKl, kEntropy, kLoss, kMismatch, kMismatchTokens, kSums };
  static constexpr size_t kAges = 65;  // 0 to 63, and older
  std::array<double, kSums> sums_ = {};
  std::array<double, kAges> log_ratio_ = {}, log_ratio_tokens_ = {};  // by age
  double norms_ = 0;
  int minibatches_ = 0;
};

// What is known of a batch without training on it: episodes, turns, reward_mean, mixed_version_turns, mask_fraction;
// and of its turns with group >= 0 by token: staleness (mean, p95, max, histogram, in flight and in the queue), drift.
void FillBatchMetrics(const UnpackedBatch& batch, std::span<const int64_t> group, proto::StepMetrics& metrics);

}  // namespace tandem
