#include "kernels/cpu/targets.h"
//
#include <hwy/targets.h>

#include "base/status.h"
#include "kernels/instruction_set.h"

namespace tandem::kernels {

std::vector<std::string> InstructionSets() {
  std::vector<std::string> names;
  for (int64_t target : hwy::SupportedAndGeneratedTargets()) names.emplace_back(hwy::TargetName(target));
  return names;
}

std::string InstructionSet() { return InstructionSets().front(); }

void ForceInstructionSet(const std::string& name) {
  hwy::SetSupportedTargetsForTest(0);
  int64_t chosen = 0;
  for (int64_t target : hwy::SupportedAndGeneratedTargets()) {
    if (name == hwy::TargetName(target)) chosen = target;
  }
  TANDEM_CHECK(name.empty() || chosen != 0);
  hwy::SetSupportedTargetsForTest(chosen);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace tandem::kernels
