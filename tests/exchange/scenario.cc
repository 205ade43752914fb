#include "tests/exchange/scenario.h"

#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace tandem {
namespace {

constexpr std::pair<const char*, double Scenario::*> kNumbers[] = {
    {"delay_s", &Scenario::delay_s},
    {"episode_s", &Scenario::episode_s},
    {"stall", &Scenario::stall},
    {"non_finite", &Scenario::non_finite},
    {"lifetime_s", &Scenario::lifetime_s},
    {"repeat", &Scenario::repeat},
    {"hears", &Scenario::hears},
    {"without_executor", &Scenario::without_executor},
    {"exchange_dies", &Scenario::exchange_dies},
    {"trainer_dies", &Scenario::trainer_dies},
};
constexpr char kConfig[] = " config: ", kStep[] = "step_s.";

// With all its digits: a number that is a little off plays another schedule.
std::string Exact(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

bool Set(Scenario* scenario, absl::string_view name, absl::string_view value) {
  if (name == "seed") return absl::SimpleAtoi(value, &scenario->seed);
  if (name == "workers") return absl::SimpleAtoi(value, &scenario->workers);
  if (name == "obedient") return absl::SimpleAtob(value, &scenario->obedient);
  if (absl::ConsumePrefix(&name, kStep)) return absl::SimpleAtod(value, &scenario->step_s[std::string(name)]);
  for (const auto& [known, member] : kNumbers) {
    if (name == known) return absl::SimpleAtod(value, &(scenario->*member));
  }
  return false;
}

}  // namespace

std::vector<std::string> PoliciesOf(const proto::Config& config) {
  std::vector<std::string> names;
  for (const auto& [name, policy] : config.policies()) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

std::string ToText(const Scenario& scenario) {
  std::string text = absl::StrCat("seed=", scenario.seed, " workers=", scenario.workers,
                                  " obedient=", scenario.obedient ? "true" : "false");
  for (const auto& [name, member] : kNumbers) absl::StrAppend(&text, " ", name, "=", Exact(scenario.*member));
  for (const auto& [policy, seconds] : scenario.step_s) absl::StrAppend(&text, " ", kStep, policy, "=", Exact(seconds));
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string config;
  printer.PrintToString(scenario.config, &config);
  return absl::StrCat(text, kConfig, absl::StripTrailingAsciiWhitespace(config));
}

absl::StatusOr<Scenario> ScenarioOf(const std::string& text) {
  Scenario scenario;
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(kConfig, 1));
  for (const absl::string_view word : absl::StrSplit(parts.first, ' ', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(word, absl::MaxSplits('=', 1));
    if (!Set(&scenario, field.first, field.second)) {
      return absl::InvalidArgumentError(absl::StrCat("'", word, "' cannot be read"));
    }
  }
  if (!google::protobuf::TextFormat::ParseFromString(std::string(parts.second), &scenario.config)) {
    return absl::InvalidArgumentError(absl::StrCat("the configuration '", parts.second, "' cannot be read"));
  }
  return scenario;
}

}  // namespace tandem
