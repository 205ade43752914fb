#include "rollout/plan/plan.h"

#include "base/status.h"

namespace tandem {

std::string_view PlanFaultName(PlanFault fault) {
  switch (fault) {
    case PlanFault::kNone:
      return "";
    case PlanFault::kSyntax:
      return "syntax";
    case PlanFault::kUnknownReference:
      return "unknown_reference";
    case PlanFault::kForwardReference:
      return "forward_reference";
    case PlanFault::kDuplicate:
      return "duplicate";
    case PlanFault::kTooManyNodes:
      return "too_many_nodes";
    case PlanFault::kUnfinished:
      return "unfinished";
  }
  return "";
}

std::string FillStep(const Plan& plan, int node, std::span<const std::string* const> results) {
  std::string filled;
  for (char c : plan.nodes[node].step) {
    if (!IsNodeName(c)) {
      filled += c;
      continue;
    }
    for (int input : plan.nodes[node].inputs) {
      if (plan.nodes[input].name != c) continue;
      TANDEM_CHECK(results[input] != nullptr);
      filled += *results[input];
    }
  }
  return filled;
}

}  // namespace tandem
