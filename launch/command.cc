#include "launch/command.h"

#include <cstdio>

#include "absl/strings/str_replace.h"

namespace tandem {

int BadInput(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", absl::StrReplaceAll(std::string(status.message()), {{"\n", " "}}).c_str());
  return kExitBadInput;
}

int Failed(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return kExitFailed;
}

void AddSetOption(CLI::App* app, std::vector<std::string>* sets) {
  app->add_option("--set", *sets, "changes a key of the configuration, as in --set train.steps=10 (repeatable)")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
}

}  // namespace tandem
