#include "launch/evaluation_setup.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "launch/config_check.h"
#include "launch/run_folder.h"
#include "launch/suggestion.h"
#include "trainer/checkpoint.h"
#include "trainer/loss.h"

namespace tandem {
namespace {

// "planner=something" of a flag, by role.
absl::StatusOr<std::map<std::string, std::string>> ByRole(const std::string& flag,
                                                          const std::vector<std::string>& values) {
  std::map<std::string, std::string> by_role;
  for (const std::string& value : values) {
    const size_t equals = value.find('=');
    if (equals == std::string::npos || equals + 1 == value.size()) {
      return absl::InvalidArgumentError(absl::StrCat(flag, " ", value, ": expected ROLE=..., as in ", flag,
                                                     " planner=", flag == "--role" ? "oracle" : "20"));
    }
    const std::string role = value.substr(0, equals);
    if (std::find(RoleNames().begin(), RoleNames().end(), role) == RoleNames().end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(flag, " ", value, ": there is no role ", role, Suggestion(role, RoleNames())));
    }
    by_role[role] = value.substr(equals + 1);
  }
  return by_role;
}

// The checkpoint that "20" or "0-sft-100" names; the newest for "". A number is that of a version, of the newest
// incarnation that has it.
absl::StatusOr<CheckpointName> Choose(const std::string& run_folder, const std::string& policy,
                                      const std::string& wanted) {
  const std::vector<CheckpointName> names = ListCheckpoints(run_folder, policy);
  if (names.empty())
    return absl::NotFoundError(absl::StrCat(run_folder, "/checkpoints/", policy, ": there is no checkpoint"));
  if (wanted.empty()) return names.back();
  uint32_t number = 0;
  const bool is_number = absl::SimpleAtoi(wanted, &number);
  std::vector<std::string> there;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (name->Folder() == wanted || (is_number && !name->sft && name->step == number)) return *name;
    there.insert(there.begin(), name->Folder());
  }
  return absl::NotFoundError(absl::StrCat("--checkpoint: ", policy, " has no ", wanted, " in ", run_folder, "; it has ",
                                          absl::StrJoin(there, ", ")));
}

// A policy that started from a model is one now, with the tokenizer that it has learned with: what it started from need
// not be there any more.
void StartFromCheckpoints(const std::string& run_folder, LoadedConfig* loaded) {
  for (auto& [policy, config] : *loaded->config.mutable_policies()) {
    const std::vector<CheckpointName> names = ListCheckpoints(run_folder, policy);
    if (!config.init().empty() && !names.empty()) config.set_init(CheckpointFolder(run_folder, policy, names.back()));
  }
}

// The policy that plays `role` in a run, with its weights.
absl::Status BindRole(const std::string& role, const std::string& run, const std::string& checkpoint,
                      EvaluationSetup* setup) {
  TANDEM_ASSIGN_OR_RETURN(const std::string run_folder, OpenRunFolder(run));
  TANDEM_ASSIGN_OR_RETURN(LoadedConfig theirs, LoadConfig({.file = ConfigFile(run_folder), .sets = {}, .seed = {}}));
  StartFromCheckpoints(run_folder, &theirs);
  TANDEM_RETURN_IF_ERROR(CheckConfig(theirs, {.environments = EnvironmentNames(), .losses = LossNames()}));
  TANDEM_ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment, OpenEnvironment(theirs));
  const proto::RoleConfig& bound = theirs.config.roles().at(role);
  if (bound.has_remote()) {
    if (!checkpoint.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--checkpoint ", role, "=", checkpoint, ": a remote model has none"));
    }
    setup->roles[role].remote = bound.remote();
    setup->players[role] = absl::StrCat(bound.remote().model(), " at ", bound.remote().url());
    return absl::OkStatus();
  }
  const std::string& policy = bound.policy();
  TANDEM_ASSIGN_OR_RETURN(const CheckpointName name, Choose(run_folder, policy, checkpoint));
  RoleBinding binding;
  TANDEM_ASSIGN_OR_RETURN(PolicySource source, OpenPolicy(theirs, policy, *environment));
  if (!source.folder && environment->alphabet() != setup->environment->alphabet()) {
    return absl::InvalidArgumentError(absl::StrCat("--role ", role, "=", run, ": that run's alphabet is ",
                                                   environment->alphabet(), ", expected ",
                                                   setup->environment->alphabet()));
  }
  binding.source = (setup->sources[role] = std::make_unique<PolicySource>(std::move(source))).get();
  binding.version = {.incarnation = name.incarnation, .number = name.sft ? 0 : name.step};
  TANDEM_ASSIGN_OR_RETURN(binding.weights,
                          LoadWeights(CheckpointFolder(run_folder, policy, name), binding.source->shape));
  setup->roles[role] = std::move(binding);
  setup->players[role] =
      absl::StrCat(policy, " ", name.Folder(), " of ", std::filesystem::path(run_folder).filename().string());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EvaluationSetup> SetUpEvaluation(const EvaluationRequest& request) {
  TANDEM_ASSIGN_OR_RETURN(const std::string run_folder, OpenRunFolder(request.run));
  TANDEM_ASSIGN_OR_RETURN(LoadedConfig loaded, LoadConfig({.file = ConfigFile(run_folder), .sets = {}, .seed = {}}));
  StartFromCheckpoints(run_folder, &loaded);
  TANDEM_RETURN_IF_ERROR(CheckConfig(loaded, {.environments = EnvironmentNames(), .losses = LossNames()}));
  TANDEM_ASSIGN_OR_RETURN(std::unique_ptr<Environment> environment, OpenEnvironment(loaded));
  EvaluationSetup setup;
  setup.loaded = std::move(loaded);
  setup.environment = std::move(environment);
  TANDEM_ASSIGN_OR_RETURN(auto roles, ByRole("--role", request.roles));
  TANDEM_ASSIGN_OR_RETURN(auto checkpoints, ByRole("--checkpoint", request.checkpoints));
  for (const std::string& role : RoleNames()) {
    const std::string player = roles.contains(role) ? roles[role] : run_folder;
    if (player == "oracle") {
      if (checkpoints.contains(role)) {
        return absl::InvalidArgumentError(
            absl::StrCat("--checkpoint ", role, "=", checkpoints[role], ": the oracle has none"));
      }
      setup.roles[role].oracle = true;
      setup.players[role] = "oracle";
      continue;
    }
    TANDEM_RETURN_IF_ERROR(BindRole(role, player, checkpoints[role], &setup));
  }
  return setup;
}

}  // namespace tandem
