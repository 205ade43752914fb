#include "study/simulation/admission_rule.h"

#include "absl/strings/str_cat.h"
#include "study/simulation/count_rule.h"
#include "study/simulation/drop_by_age_rule.h"
#include "study/simulation/windowed_fifo_rule.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<AdmissionRule>> MakeAdmissionRule(const std::string& name, const RuleOptions& options) {
  if (name == "count") return std::make_unique<CountRule>(options);
  if (name == "drop_by_age") return std::make_unique<DropByAgeRule>(options);
  if (name == "windowed_fifo") return std::make_unique<WindowedFifoRule>(options);
  return absl::InvalidArgumentError(
      absl::StrCat("there is no rule ", name, "; expected tandem, count, drop_by_age or windowed_fifo"));
}

}  // namespace tandem
