#include "kernels/instruction_set.h"

#include "kernels/cpu/targets.h"
//
#include <hwy/targets.h>

#include <atomic>

#include "base/status.h"
#include "kernels/cpu/dot_panel.h"

namespace tandem::kernels {
namespace {

// Beyond Highway's: AVX3 for float32, with these dot products for the other types. Best first.
std::vector<const DotPanels*> ExtraPanels() {
  std::vector<const DotPanels*> extra;
  for (const DotPanels* panels : {AmxDotPanels(), Avx512DotPanels()}) {
    if (panels != nullptr) extra.push_back(panels);
  }
  return extra;
}

const DotPanels& BestPanels() {
  const auto extra = ExtraPanels();
  return extra.empty() ? PortableDotPanels() : *extra.front();
}

std::atomic<const DotPanels*> forced_panels = nullptr;

}  // namespace

const DotPanels& ChosenDotPanels() {
  static const DotPanels& best = BestPanels();
  const DotPanels* forced = forced_panels.load(std::memory_order_relaxed);
  return forced != nullptr ? *forced : best;
}

std::vector<std::string> InstructionSets() {
  std::vector<std::string> names;
  for (const DotPanels* panels : ExtraPanels()) names.emplace_back(panels->name);
  for (int64_t target : hwy::SupportedAndGeneratedTargets()) names.emplace_back(hwy::TargetName(target));
  return names;
}

std::string InstructionSet() { return InstructionSets().front(); }

void ForceInstructionSet(const std::string& name) {
  hwy::SetSupportedTargetsForTest(0);
  const DotPanels* panels = name.empty() ? nullptr : &PortableDotPanels();
  int64_t chosen = 0;
  for (int64_t target : hwy::SupportedAndGeneratedTargets()) {
    if (name == hwy::TargetName(target)) chosen = target;
  }
  for (const DotPanels* extra : ExtraPanels()) {
    if (name == extra->name) panels = extra;
  }
  TANDEM_CHECK(name.empty() || chosen != 0 || panels != &PortableDotPanels());
  forced_panels = panels;
  hwy::SetSupportedTargetsForTest(chosen);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace tandem::kernels
