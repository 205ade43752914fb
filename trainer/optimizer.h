// AdamW over the flat weights of a policy, and the schedule of its learning rate.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace tandem {

// The learning rate rises linearly over `warmup_steps`, reaches its peak in the step after, and falls linearly to
// `final_fraction` of the peak in the last of `steps`.
struct Schedule {
  double peak = 0;
  uint32_t warmup_steps = 0;
  double final_fraction = 1;
  uint32_t steps = 1;

  double At(uint32_t step) const;  // `step` counts from 0
};

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0;  // decoupled; of every weight, norms and embeddings too
};

// Loshchilov and Hutter, arXiv:1711.05101, algorithm 2, as PyTorch computes it: with g = scale * gradient,
//   w -= lr * weight_decay * w;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
//   w -= lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon)     in update t = 1, 2, ...
class AdamW {
 public:
  // Moments are zero, on the device of `weights` ([parameters] float32).
  AdamW(const at::Tensor& weights, const AdamWOptions& options);

  // One update of `weights` in place. `gradient`: [parameters] float32; `scale`: 1, or what the clip leaves of it.
  void Update(const at::Tensor& weights, const at::Tensor& gradient, double learning_rate, double scale);

  // A copy of the state: it does not change with later updates.
  struct State {
    at::Tensor first;   // [parameters] float32, m
    at::Tensor second;  // [parameters] float32, v
    uint64_t updates = 0;
  };
  State Save() const;
  void Restore(const State& state);  // copies
  void Reset();                      // as after construction

  uint64_t updates() const { return updates_; }

 private:
  const AdamWOptions options_;
  at::Tensor first_, second_;
  uint64_t updates_ = 0;
};

// The Euclidean norm of `gradient`, summed in float64; not finite when an entry is not.
double GradientNorm(const at::Tensor& gradient);

}  // namespace tandem
