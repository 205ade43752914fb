#include "trainer/loss.h"

#include <ATen/ATen.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace tandem {
namespace {

// Written before training starts, read-only from then on.
std::map<std::string, LossSpec>& Registry() {
  static auto* registry = new std::map<std::string, LossSpec>{
      {"decoupled_ppo", {&DecoupledPpoLoss, /*needs_proximal=*/true}},
      {"grpo", {&GrpoLoss, /*needs_proximal=*/false}},
  };
  return *registry;
}

}  // namespace

absl::StatusOr<LossSpec> FindLoss(const std::string& name) {
  const auto found = Registry().find(name);
  if (found != Registry().end()) return found->second;
  return absl::InvalidArgumentError(
      absl::StrCat("loss.name: '", name, "' is unknown; expected one of ", absl::StrJoin(LossNames(), ", ")));
}

std::vector<std::string> LossNames() {
  std::vector<std::string> names;
  for (const auto& [name, spec] : Registry()) names.push_back(name);
  return names;
}

void RegisterLoss(const std::string& name, LossSpec spec) {
  const bool fresh = Registry().emplace(name, spec).second;
  TANDEM_CHECK(fresh);
}

at::Tensor K3(const at::Tensor& p_logprobs, const at::Tensor& q_logprobs) {
  const at::Tensor d = p_logprobs - q_logprobs;
  return d.expm1() - d;
}

at::Tensor KlPenalty(const LossInput& input, const proto::LossConfig& config) {
  if (config.kl_coefficient() == 0) return {};
  TANDEM_CHECK(input.reference_logprobs.defined());
  const at::Tensor k3 = K3(input.reference_logprobs, input.new_logprobs);
  return (k3 * input.mask).sum() * (config.kl_coefficient() / input.token_count);
}

LossSums SumUnmasked(const LossInput& input, const at::Tensor& weight, const at::Tensor& clipped) {
  const at::NoGradGuard no_grad;
  const auto sum = [&](const at::Tensor& values) { return (values * input.mask).sum(at::kDouble); };
  const at::Tensor k3 = K3(input.new_logprobs, input.behaviour_logprobs);
  const at::Tensor sums =
      at::stack({input.mask.sum(at::kDouble), sum(weight), sum(weight.square()), sum(clipped), sum(k3)}).cpu();
  const double* s = sums.data_ptr<double>();
  return {.tokens = s[0], .importance_weight = s[1], .importance_weight_squared = s[2], .clipped = s[3], .kl = s[4]};
}

}  // namespace tandem
