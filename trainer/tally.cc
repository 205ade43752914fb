#include "trainer/tally.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

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
    const size_t age = std::min(static_cast<size_t>(pass.ages[i]), kAges - 1);
    log_ratio_[age] += std::abs(static_cast<double>(logprobs[i]) - pass.behaviour[i]);
    log_ratio_tokens_[age] += 1;
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
  const std::initializer_list<std::span<double>> parts = {sums_, log_ratio_, log_ratio_tokens_};
  std::vector<double> local;
  for (const std::span<double> part : parts) local.insert(local.end(), part.begin(), part.end());
  const at::Tensor sums = at::tensor(local, at::kDouble).to(device);
  TANDEM_RETURN_IF_ERROR(collective.AllReduceSum(sums));
  const at::Tensor all = sums.cpu();
  const double* next = all.const_data_ptr<double>();
  for (const std::span<double> part : parts) {
    std::copy_n(next, part.size(), part.begin());
    next += part.size();
  }
  return absl::OkStatus();
}

void StepTally::Fill(proto::StepMetrics& metrics) const {
  metrics.set_tokens_trained(static_cast<uint32_t>(sums_[kTokens]));
  if (minibatches_ > 0) {
    metrics.set_loss(sums_[kLoss] / minibatches_);
    metrics.set_grad_norm(norms_ / minibatches_);
  }
  metrics.set_mismatch(sums_[kMismatchTokens] > 0 ? sums_[kMismatch] / sums_[kMismatchTokens]
                                                  : std::numeric_limits<double>::quiet_NaN());
  for (size_t age = 0, last = kAges; age < last; ++age) {
    while (last > 0 && log_ratio_tokens_[last - 1] == 0) --last;
    if (age < last) metrics.add_log_ratio_by_age(log_ratio_[age] / std::max(1.0, log_ratio_tokens_[age]));
  }
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

namespace {

// The least staleness that 95 % of the tokens do not exceed.
uint32_t Percentile95(const std::vector<uint32_t>& histogram, double tokens) {
  double below = 0;
  for (size_t age = 0; age < histogram.size(); ++age) {
    below += histogram[age];
    if (below >= 0.95 * tokens) return static_cast<uint32_t>(age);
  }
  return 0;
}

// Drift of trained tokens with respect to one partner.
struct DriftSum {
  double tokens = 0, sum = 0;
  int32_t most = 0;
};

}  // namespace

void FillBatchMetrics(const UnpackedBatch& batch, std::span<const int64_t> group, proto::StepMetrics& metrics) {
  TANDEM_CHECK(group.size() == batch.turns.size());
  metrics.set_episodes(batch.episodes);
  metrics.set_turns(static_cast<uint32_t>(batch.turns.size()));
  metrics.set_reward_mean(batch.reward_mean);
  std::vector<uint32_t> histogram;
  std::vector<DriftSum> drift(batch.partners.size());
  double mixed = 0, all = 0, unmasked = 0, tokens = 0, ages = 0, queued = 0;
  for (size_t i = 0; i < batch.turns.size(); ++i) {
    const TrainingTurn& turn = batch.turns[i];
    mixed += turn.mixed;
    all += static_cast<double>(turn.output_ids.size());
    const auto counted = turn.masked ? 0.0 : static_cast<double>(turn.unmasked());
    unmasked += counted;
    if (group[i] < 0) continue;
    for (size_t t = 0; t < turn.ages.size(); ++t) {
      if (turn.loss_mask[t] == 0) continue;
      const auto age = static_cast<size_t>(turn.ages[t]);
      histogram.resize(std::max(histogram.size(), age + 1));
      ++histogram[age];
      ages += static_cast<double>(age);
      queued += std::min(turn.ages[t], turn.queued);
      tokens += 1;
    }
    for (size_t p = 0; p < turn.drift.size(); ++p) {
      if (turn.drift[p] < 0) continue;
      drift[p].tokens += counted;
      drift[p].sum += counted * turn.drift[p];
      drift[p].most = std::max(drift[p].most, turn.drift[p]);
    }
  }
  if (!batch.turns.empty()) metrics.set_mixed_version_turns(mixed / static_cast<double>(batch.turns.size()));
  if (all > 0) metrics.set_mask_fraction(1 - unmasked / all);
  if (tokens > 0) {
    metrics.set_staleness_mean(ages / tokens);
    metrics.set_staleness_in_queue_mean(queued / tokens);
    metrics.set_staleness_in_flight_mean((ages - queued) / tokens);
    metrics.set_staleness_p95(Percentile95(histogram, tokens));
  }
  metrics.set_staleness_max(histogram.empty() ? 0 : static_cast<uint32_t>(histogram.size() - 1));
  *metrics.mutable_staleness_histogram() = {histogram.begin(), histogram.end()};
  for (size_t p = 0; p < drift.size(); ++p) {
    if (drift[p].tokens == 0) continue;
    (*metrics.mutable_drift_mean())[batch.partners[p]] = drift[p].sum / drift[p].tokens;
    (*metrics.mutable_drift_max())[batch.partners[p]] = static_cast<uint32_t>(drift[p].most);
  }
}

}  // namespace tandem
