// Losses: pure functions over flat arrays of tokens. Adding one is one file and one golden test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/config.pb.h"

namespace tandem {

// One entry per token that the loss is taken over; all tensors are [tokens], float32 unless said otherwise, on one
// device.
struct LossInput {
  at::Tensor new_logprobs;        // differentiable
  at::Tensor behaviour_logprobs;  // of the policy that wrote the token
  at::Tensor proximal_logprobs;   // of the policy that the step started from; undefined unless the loss needs it
  at::Tensor reference_logprobs;  // of version 0; undefined unless kl_coefficient > 0
  at::Tensor advantages;
  at::Tensor mask;             // 0 or 1
  at::Tensor ages;             // int32, staleness of the token
  at::Tensor sequence;         // int64, index of the turn within the batch
  at::Tensor advantage_group;  // int64
  double token_count;          // unmasked tokens of the minibatch over all ranks: what the sum is divided by
};

// Sums over the unmasked tokens of this rank (they add up over ranks), no gradient.
struct LossSums {
  double tokens = 0;
  double importance_weight = 0;
  double importance_weight_squared = 0;
  double clipped = 0;  // tokens whose gradient the clip removed
  double kl = 0;       // behaviour against new, k3 (see K3): samples are the behaviour policy's
};

struct LossOutput {
  at::Tensor loss;  // scalar: this rank's part of the mean over the tokens of all ranks
  LossSums sums;
};

using LossFunction = LossOutput (*)(const LossInput&, const proto::LossConfig&);

struct LossSpec {
  LossFunction function;
  bool needs_proximal;
};

// kInvalidArgument lists the losses there are.
absl::StatusOr<LossSpec> FindLoss(const std::string& name);
std::vector<std::string> LossNames();
// Before training starts; a name that is taken is a bug.
void RegisterLoss(const std::string& name, LossSpec spec);

// ---- the losses there are -------------------------------------------------------------------------------------------

// "decoupled_ppo": -mean(min(w, cap) * min(u A, clip(u, 1 - c, 1 + c) A)) with w = proximal / behaviour (no gradient)
// and u = new / proximal: the clip is around the policy that the step started from, however old the behaviour policy is
// (AReaL, arXiv:2505.24298, eq. 5). Plus KlPenalty.
LossOutput DecoupledPpoLoss(const LossInput& input, const proto::LossConfig& config);

// "grpo": -mean(min(r A, clip(r, 1 - c, 1 + c) A)) with r = new / behaviour (DeepSeekMath, arXiv:2402.03300, eq. 3),
// the mean taken over tokens in place of sequences. Plus KlPenalty. importance_weight is of proximal / behaviour where
// the proximal log-probabilities are given, otherwise of r.
LossOutput GrpoLoss(const LossInput& input, const proto::LossConfig& config);

// The warm start's: mean negative log-likelihood, -mean(new). Uses new_logprobs, mask and token_count only; not
// registered, since it has no use for a reward.
LossOutput NegativeLogLikelihood(const LossInput& input, const proto::LossConfig& config);

// ---- what losses are made of ----------------------------------------------------------------------------------------

// kl_coefficient * mean(K3(reference, new)); undefined when kl_coefficient is 0.
at::Tensor KlPenalty(const LossInput& input, const proto::LossConfig& config);

// [tokens] exp(d) - 1 - d with d = p - q: estimates KL(q || p) from samples of q without bias, and is never negative
// (k3 of Schulman, "Approximating KL divergence", 2020).
at::Tensor K3(const at::Tensor& p_logprobs, const at::Tensor& q_logprobs);

// Sums over the unmasked tokens. `weight`: [tokens] importance weights; `clipped`: [tokens] 0 or 1.
LossSums SumUnmasked(const LossInput& input, const at::Tensor& weight, const at::Tensor& clipped);

}  // namespace tandem
