#include "launch/config_check.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "launch/suggestion.h"
#include "rollout/remote/remote_model.h"

namespace tandem {
namespace {

std::vector<std::string> AllPolicies(const proto::Config& config) {
  std::vector<std::string> names;
  for (const auto& [name, policy] : config.policies()) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status CheckName(const LoadedConfig& loaded) {
  const std::string& name = loaded.config.name();
  const bool fine = !name.empty() && name.size() <= 60 && name[0] != '.' && name[0] != '-' &&
                    std::all_of(name.begin(), name.end(),
                                [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.'; });
  if (fine) return absl::OkStatus();
  return loaded.places.Error("name", absl::StrCat("names a folder: expected letters, digits, - _ and ., found \"",
                                                  absl::CHexEscape(name.substr(0, 60)), "\""));
}

absl::Status CheckRemote(const LoadedConfig& loaded, const std::string& role) {
  const proto::RoleConfig& bound = loaded.config.roles().at(role);
  const std::string at = absl::StrCat("roles.", role, ".remote");
  if (!bound.policy().empty()) {
    return loaded.places.Error(at,
                               absl::StrCat("policy ", bound.policy(), " plays this role too; expected one of both"));
  }
  if (const auto url = ParseRemoteUrl(bound.remote().url()); !url.ok()) {
    return loaded.places.Error(at + ".url", std::string(url.status().message()));
  }
  if (bound.remote().model().empty()) {
    return loaded.places.Error(at + ".model", "is missing: the model's name at that endpoint");
  }
  if (loaded.config.clock() == proto::VIRTUAL) {
    return loaded.places.Error(at, "a remote model answers in real time; expected clock: real");
  }
  return absl::OkStatus();
}

absl::Status CheckRoles(const LoadedConfig& loaded) {
  const proto::Config& config = loaded.config;
  const std::vector<std::string> policies = AllPolicies(config);
  if (policies.empty()) {
    return loaded.places.Error("policies", "at least one policy is needed, for example `planner:` and `executor:`");
  }
  std::vector<std::string> roles;
  for (const auto& [role, bound] : config.roles()) roles.push_back(role);
  std::sort(roles.begin(), roles.end());
  for (const std::string& role : roles) {
    if (std::find(RoleNames().begin(), RoleNames().end(), role) == RoleNames().end()) {
      return loaded.places.Error("roles." + role, absl::StrCat("no such role", Suggestion(role, RoleNames())));
    }
  }
  for (const std::string& role : RoleNames()) {
    const auto bound = config.roles().find(role);
    const std::string key = absl::StrCat("roles.", role, ".policy");
    if (bound != config.roles().end() && bound->second.has_remote()) {
      TANDEM_RETURN_IF_ERROR(CheckRemote(loaded, role));
      continue;
    }
    if (bound == config.roles().end() || bound->second.policy().empty()) {
      return loaded.places.Error(key, absl::StrCat("no policy is named ", role, ": say which one plays this role",
                                                   Suggestion(role, policies)));
    }
    if (!config.policies().contains(bound->second.policy())) {
      return loaded.places.Error(key, absl::StrCat("there is no policy ", bound->second.policy(),
                                                   Suggestion(bound->second.policy(), policies)));
    }
  }
  for (const std::string& policy : policies) {
    const std::vector<std::string> playing = PolicyNames(config);
    if (std::find(playing.begin(), playing.end(), policy) == playing.end()) {
      return loaded.places.Error("policies." + policy, "plays no role (see roles)");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPolicy(const LoadedConfig& loaded, const std::string& name, const KnownNames& known) {
  const proto::PolicyConfig& policy = loaded.config.policies().at(name);
  const proto::ModelConfig& model = policy.model();
  const std::string at = absl::StrCat("policies.", name, ".");
  if (!policy.system().empty() && policy.init().empty()) {
    return loaded.places.Error(at + "system", "has no effect here: it needs init");
  }
  if (model.hidden() % model.heads() != 0) {
    return loaded.places.Error(at + "model.heads",
                               absl::StrCat(model.heads(), " does not divide hidden: ", model.hidden()));
  }
  if (model.heads() % model.kv_heads() != 0) {
    return loaded.places.Error(at + "model.kv_heads",
                               absl::StrCat(model.kv_heads(), " does not divide heads: ", model.heads()));
  }
  if ((model.hidden() / model.heads()) % 2 != 0) {
    return loaded.places.Error(at + "model.heads", absl::StrCat("hidden / heads is ", model.hidden() / model.heads(),
                                                                "; rotary positions need an even number"));
  }
  if (std::find(known.losses.begin(), known.losses.end(), policy.loss().name()) == known.losses.end()) {
    return loaded.places.Error(at + "loss.name", absl::StrCat("there is no loss ", policy.loss().name(),
                                                              Suggestion(policy.loss().name(), known.losses)));
  }
  if (policy.staleness().has_drift_bound() && loaded.config.policies_size() == 1) {
    return loaded.places.Error(at + "staleness.drift_bound", "there is no other policy that could move on");
  }
  if (policy.staleness().has_drift_bound() && !loaded.config.lag().empty()) {
    return loaded.places.Error(at + "staleness.drift_bound",
                               "lag says which versions write and which step trains on it; expected one or the other");
  }
  const proto::TrainConfig& train = loaded.config.train();
  if (policy.ranks() > train.groups_per_step()) {
    return loaded.places.Error(at + "ranks", absl::StrCat(policy.ranks(), " ranks cannot share a batch of ",
                                                          train.groups_per_step(), " groups (train.groups_per_step)"));
  }
  return absl::OkStatus();
}

absl::Status CheckEnvironment(const LoadedConfig& loaded, const KnownNames& known) {
  const proto::EnvironmentConfig& e = loaded.config.environment();
  const KeyPlaces& places = loaded.places;
  if (std::find(known.environments.begin(), known.environments.end(), e.name()) == known.environments.end()) {
    return places.Error("environment.name",
                        absl::StrCat("there is no environment ", e.name(), Suggestion(e.name(), known.environments)));
  }
  if (e.max_operations() < e.min_operations()) {
    return places.Error("environment.max_operations",
                        absl::StrCat(e.max_operations(), " is below min_operations: ", e.min_operations()));
  }
  if (e.max_nodes() < e.max_operations()) {
    return places.Error("environment.max_nodes", absl::StrCat(e.max_nodes(), " is below max_operations: ",
                                                              e.max_operations(), ", so that no plan could be right"));
  }
  if (e.has_tool() && e.tool().most_ms() < e.tool().least_ms()) {
    return places.Error("environment.tool.most_ms",
                        absl::StrCat(e.tool().most_ms(), " is below least_ms: ", e.tool().least_ms()));
  }
  if (e.validation_share() + e.heldout_share() >= 1) {
    return places.Error("environment.heldout_share", "with validation_share it leaves nothing to train on");
  }
  if (e.heldout_share() == 0 && loaded.config.evaluation().episodes() > 0) {
    return places.Error("environment.heldout_share",
                        "is 0, but evaluation.episodes asks for held-out questions (0: no evaluation)");
  }
  const std::filesystem::path tasks = std::filesystem::path(loaded.folder) / e.tasks();
  if (!e.tasks().empty() && !std::filesystem::is_regular_file(tasks)) {
    return places.Error("environment.tasks", absl::StrCat(tasks.string(), ": no such file"));
  }
  return absl::OkStatus();
}

absl::Status CheckClock(const LoadedConfig& loaded) {
  if (loaded.config.clock() == proto::REAL) return absl::OkStatus();
  for (const auto& [policy, trainer] : loaded.config.durations().trainers()) {
    if (loaded.config.policies().contains(policy)) continue;
    return loaded.places.Error(
        absl::StrCat("durations.trainers.", policy),
        absl::StrCat("there is no policy ", policy, Suggestion(policy, AllPolicies(loaded.config))));
  }
  for (const auto& [policy, config] : loaded.config.policies()) {
    if (config.ranks() == 1) continue;
    return loaded.places.Error(absl::StrCat("policies.", policy, ".ranks"),
                               "ranks wait for each other in real time; expected 1 with clock: virtual");
  }
  return absl::OkStatus();
}

absl::Status CheckTransport(const LoadedConfig& loaded) {
  const std::string& endpoint = loaded.config.transport().endpoint();
  if (endpoint == "auto") return absl::OkStatus();
  if (absl::StartsWith(endpoint, "ipc://")) {
    // sockaddr_un holds 107 bytes, and announcements come from PATH.pub.
    if (endpoint.size() - 6 + 4 > 107)
      return loaded.places.Error("transport.endpoint", "the path is longer than 103 bytes");
    return absl::OkStatus();
  }
  const size_t colon = endpoint.rfind(':');
  int port = 0;
  if (absl::StartsWith(endpoint, "tcp://") && colon > 6 && absl::SimpleAtoi(endpoint.substr(colon + 1), &port) &&
      port > 0 && port < 65535) {
    return absl::OkStatus();
  }
  return loaded.places.Error(
      "transport.endpoint",
      absl::StrCat("expected auto, ipc://PATH or tcp://HOST:PORT with a port from 1 to 65534, found ",
                   absl::CHexEscape(endpoint)));
}

}  // namespace

absl::Status CheckConfig(const LoadedConfig& loaded, const KnownNames& known) {
  TANDEM_RETURN_IF_ERROR(CheckName(loaded));
  TANDEM_RETURN_IF_ERROR(CheckRoles(loaded));
  for (const std::string& policy : AllPolicies(loaded.config)) {
    TANDEM_RETURN_IF_ERROR(CheckPolicy(loaded, policy, known));
  }
  TANDEM_RETURN_IF_ERROR(CheckEnvironment(loaded, known));
  TANDEM_RETURN_IF_ERROR(CheckClock(loaded));
  return CheckTransport(loaded);
}

absl::Status CheckContexts(const LoadedConfig& loaded, PromptRoom planner, PromptRoom executor) {
  const proto::RolloutConfig& rollout = loaded.config.rollout();
  const struct {
    const char* role;
    const char* key;
    PromptRoom room;
    int64_t output;
  } turns[] = {{"planner", "rollout.max_plan_tokens", planner, rollout.max_plan_tokens()},
               {"executor", "rollout.max_step_tokens", executor, rollout.max_step_tokens()}};
  for (const auto& turn : turns) {
    const std::string& policy = loaded.config.roles().at(turn.role).policy();
    if (turn.room.prompt + turn.output > turn.room.context) {
      const bool exists = !loaded.config.policies().at(policy).init().empty();
      return loaded.places.Error(absl::StrCat("policies.", policy, exists ? ".init" : ".model.context"),
                                 absl::StrCat(exists ? "the model's context of " : "", turn.room.context,
                                              " is too small: a prompt of the ", turn.role, " has ", turn.room.prompt,
                                              " tokens, and ", turn.key, ": ", turn.output, " come on top"));
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem
