#include "trainer/optimizer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/status.h"

namespace tandem {
namespace {

struct Rates {
  float decay, beta1, beta2, step, root, epsilon, scale;
};

// One pass over memory: ATen would take eight.
void UpdateOnCpu(float* weights, const float* gradient, float* first, float* second, int64_t n, const Rates& r) {
  const float rest1 = 1 - r.beta1, rest2 = 1 - r.beta2;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const float g = gradient[i] * r.scale;
    const float m = r.beta1 * first[i] + rest1 * g;
    const float v = r.beta2 * second[i] + rest2 * g * g;
    first[i] = m;
    second[i] = v;
    weights[i] = weights[i] * r.decay - r.step * m / (std::sqrt(v) * r.root + r.epsilon);
  }
}

void UpdateOnDevice(at::Tensor weights, const at::Tensor& gradient, at::Tensor& first, at::Tensor& second,
                    const Rates& r) {
  const at::Tensor g = gradient * r.scale;
  first.mul_(r.beta1).add_(g, 1 - r.beta1);
  second.mul_(r.beta2).addcmul_(g, g, 1 - r.beta2);
  weights.mul_(r.decay).addcdiv_(first, second.sqrt().mul_(r.root).add_(r.epsilon), -r.step);
}

}  // namespace

double Schedule::At(uint32_t step) const {
  if (step < warmup_steps) return peak * (step + 1) / (warmup_steps + 1);
  if (steps <= warmup_steps + 1) return peak;
  const double progress = std::min(1.0, static_cast<double>(step - warmup_steps) / (steps - 1 - warmup_steps));
  return peak * (1 - (1 - final_fraction) * progress);
}

AdamW::AdamW(const at::Tensor& weights, const AdamWOptions& options)
    : options_(options), first_(at::zeros_like(weights)), second_(at::zeros_like(weights)) {}

void AdamW::Update(const at::Tensor& weights, const at::Tensor& gradient, double learning_rate, double scale) {
  const at::NoGradGuard no_grad;
  TANDEM_CHECK(weights.numel() == first_.numel() && gradient.numel() == first_.numel());
  ++updates_;
  const double t = static_cast<double>(updates_);
  const Rates rates{.decay = static_cast<float>(1 - learning_rate * options_.weight_decay),
                    .beta1 = static_cast<float>(options_.beta1),
                    .beta2 = static_cast<float>(options_.beta2),
                    .step = static_cast<float>(learning_rate / (1 - std::pow(options_.beta1, t))),
                    .root = static_cast<float>(1 / std::sqrt(1 - std::pow(options_.beta2, t))),
                    .epsilon = static_cast<float>(options_.epsilon),
                    .scale = static_cast<float>(scale)};
  if (!weights.is_cpu()) return UpdateOnDevice(weights, gradient, first_, second_, rates);
  TANDEM_CHECK(weights.is_contiguous() && gradient.is_contiguous());
  UpdateOnCpu(weights.data_ptr<float>(), gradient.const_data_ptr<float>(), first_.data_ptr<float>(),
              second_.data_ptr<float>(), weights.numel(), rates);
}

AdamW::State AdamW::Save() const { return {first_.clone(), second_.clone(), updates_}; }

void AdamW::Restore(const State& state) {
  const at::NoGradGuard no_grad;
  first_.copy_(state.first);
  second_.copy_(state.second);
  updates_ = state.updates;
}

void AdamW::Reset() {
  first_.zero_();
  second_.zero_();
  updates_ = 0;
}

double GradientNorm(const at::Tensor& gradient) {
  const at::NoGradGuard no_grad;
  if (!gradient.is_cpu()) return gradient.to(at::kDouble).square().sum().sqrt().item<double>();
  const float* g = gradient.const_data_ptr<float>();
  double sum[4] = {0, 0, 0, 0};  // four chains of additions, since one would wait for itself
  const int64_t n = gradient.numel();
  for (int64_t i = 0; i < n; ++i) sum[i & 3] += static_cast<double>(g[i]) * g[i];
  return std::sqrt((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

}  // namespace tandem
