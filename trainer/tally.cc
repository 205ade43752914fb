#include "trainer/tally.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/status.h"

namespace tandem {

void StepTally::Add(const Pass& pass, const LossOutput& loss, const at::Tensor& entropy, const at::Tensor& proximal) {
  const at::NoGradGuard no_grad;
  sums_[kTokens] += loss.sums.tokens;
  sums_[kWeight] += loss.sums.importance_weight;
  sums_[kWeightSquared] += loss.sums.importance_weight_squared;
  sums_[kClipped] += loss.sums.clipped;
  sums_[kKl] += loss.sums.kl;
  sums_[kEntropy] += entropy.sum(at::kDouble).item<double>();
  sums_[kLoss] += loss.loss.item<double>();
  if (!proximal.defined()) return;
  const at::Tensor trainer = proximal.to(at::kCPU, at::kFloat).contiguous();
  const float* logprobs = trainer.const_data_ptr<float>();
  for (size_t i = 0; i < pass.ages.size(); ++i) {
    if (pass.ages[i] != 0) continue;  // only the version that the step started from wrote with the same weights
    sums_[kMismatch] += std::abs(static_cast<double>(logprobs[i]) - pass.model[i]);
    sums_[kMismatchTokens] += 1;
  }
}

void StepTally::AddGradientNorm(double norm) {
  norms_ += norm;
  ++minibatches_;
}

absl::Status StepTally::Reduce(Collective& collective, const std::string& device) {
  if (collective.size() == 1) return absl::OkStatus();
  const at::Tensor local = at::tensor(at::ArrayRef<double>(sums_.data(), sums_.size()), at::kDouble);
  const at::Tensor sums = local.to(device);
  TANDEM_RETURN_IF_ERROR(collective.AllReduceSum(sums));
  const at::Tensor all = sums.cpu();
  std::copy_n(all.const_data_ptr<double>(), sums_.size(), sums_.begin());
  return absl::OkStatus();
}

void StepTally::Fill(proto::StepMetrics& metrics) const {
  metrics.set_tokens_trained(static_cast<uint32_t>(sums_[kTokens]));
  if (minibatches_ > 0) {
    metrics.set_loss(sums_[kLoss] / minibatches_);
    metrics.set_grad_norm(norms_ / minibatches_);
  }
  if (sums_[kMismatchTokens] > 0) metrics.set_mismatch(sums_[kMismatch] / sums_[kMismatchTokens]);
  const double n = sums_[kTokens];
  if (n == 0) return;
  metrics.set_importance_weight_mean(sums_[kWeight] / n);
  if (sums_[kWeightSquared] > 0) {
    metrics.set_ess(sums_[kWeight] * sums_[kWeight] / (n * sums_[kWeightSquared]));  // Kish: (sum w)^2 / sum w^2
  }
  metrics.set_clip_fraction(sums_[kClipped] / n);
  metrics.set_kl(sums_[kKl] / n);
  metrics.set_entropy(sums_[kEntropy] / n);
}

void FillBatchMetrics(const UnpackedBatch& batch, std::span<const int64_t> group, proto::StepMetrics& metrics) {
  TANDEM_CHECK(group.size() == batch.turns.size());
  metrics.set_episodes(batch.episodes);
  metrics.set_turns(static_cast<uint32_t>(batch.turns.size()));
  metrics.set_reward_mean(batch.reward_mean);
  std::vector<uint32_t> histogram;
  double mixed = 0, tokens = 0, ages = 0;
  for (size_t i = 0; i < batch.turns.size(); ++i) {
    const TrainingTurn& turn = batch.turns[i];
    mixed += turn.mixed;
    for (size_t t = 0; t < turn.ages.size() && group[i] >= 0; ++t) {
      if (turn.loss_mask[t] == 0) continue;
      const auto age = static_cast<size_t>(turn.ages[t]);
      histogram.resize(std::max(histogram.size(), age + 1));
      ++histogram[age];
      ages += static_cast<double>(age);
      tokens += 1;
    }
  }
  if (!batch.turns.empty()) metrics.set_mixed_version_turns(mixed / static_cast<double>(batch.turns.size()));
  if (tokens > 0) metrics.set_staleness_mean(ages / tokens);
  metrics.set_staleness_max(histogram.empty() ? 0 : static_cast<uint32_t>(histogram.size() - 1));
  *metrics.mutable_staleness_histogram() = {histogram.begin(), histogram.end()};
}

}  // namespace tandem
