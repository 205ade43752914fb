#include "launch/config.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "launch/config_reader.h"
#include "launch/schema.h"
#include "launch/suggestion.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

// kNotFound with what is there in its place.
absl::Status CheckFile(const std::string& file) {
  std::error_code error;
  if (fs::is_regular_file(file, error)) return absl::OkStatus();
  if (fs::is_directory(file, error)) {
    const bool run = fs::exists(fs::path(file) / "config.yaml", error);
    return absl::InvalidArgumentError(
        run ? absl::StrCat(file, ": this is a run folder; `tandem train --resume ", file, "` goes on with it")
            : absl::StrCat(file, ": this is a folder; expected a YAML file"));
  }
  std::vector<std::string> here;
  const fs::path folder = fs::path(file).has_parent_path() ? fs::path(file).parent_path() : fs::path(".");
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".yaml") here.push_back(entry.path().filename().string());
  }
  std::sort(here.begin(), here.end());
  return absl::NotFoundError(
      absl::StrCat(file, ": no such file", Suggestion(fs::path(file).filename().string(), here)));
}

absl::Status ApplySet(const std::string& set, proto::Config* config, KeyPlaces* places) {
  const size_t equals = set.find('=');
  if (equals == std::string::npos || equals == 0) {
    return absl::InvalidArgumentError(absl::StrCat("--set ", set, ": expected key=value, as in --set train.steps=10"));
  }
  const std::string key = set.substr(0, equals);
  std::vector<std::string> may_be_added;
  for (const std::string& role : RoleNames()) may_be_added.push_back("roles." + role);
  for (const auto& [policy, _] : config->policies()) {
    may_be_added.insert(may_be_added.end(), {"lag." + policy, "durations.trainers." + policy});
  }
  return SetKey(key, set.substr(equals + 1), absl::StrCat("--set ", key), may_be_added, config, places);
}

// A role that is not bound is played by the policy of its name, where there is one.
void BindRoles(proto::Config* config) {
  for (const std::string& role : RoleNames()) {
    if (!config->policies().contains(role)) continue;
    proto::RoleConfig& bound = (*config->mutable_roles())[role];
    if (bound.policy().empty() && !bound.has_remote()) bound.set_policy(role);
  }
}

}  // namespace

const std::vector<std::string>& RoleNames() {
  static const auto* names = new std::vector<std::string>{"planner", "executor"};
  return *names;
}

namespace {

// Everything that comes after the file was read.
absl::StatusOr<LoadedConfig> Resolve(const ConfigSource& source, LoadedConfig loaded) {
  for (const std::string& set : source.sets) TANDEM_RETURN_IF_ERROR(ApplySet(set, &loaded.config, &loaded.places));
  if (source.seed) {
    TANDEM_RETURN_IF_ERROR(SetKey("seed", *source.seed, "--seed", {}, &loaded.config, &loaded.places));
  }
  BindRoles(&loaded.config);
  for (auto& [name, policy] : *loaded.config.mutable_policies()) {  // a run folder keeps where the model is
    if (!policy.init().empty())
      policy.set_init(fs::absolute(fs::path(loaded.folder) / policy.init()).lexically_normal());
  }
  TANDEM_RETURN_IF_ERROR(CheckEffects(loaded.config, loaded.places, /*flags_only=*/source.resolved));
  FillDefaults(&loaded.config);
  return loaded;
}

}  // namespace

absl::StatusOr<LoadedConfig> LoadConfig(const ConfigSource& source) {
  LoadedConfig loaded;
  TANDEM_RETURN_IF_ERROR(CheckFile(source.file));
  TANDEM_ASSIGN_OR_RETURN(const std::string text, ReadFile(source.file));
  loaded.places = KeyPlaces(source.file);
  const fs::path folder = fs::path(source.file).parent_path();
  loaded.folder = folder.empty() ? "." : folder.string();
  TANDEM_RETURN_IF_ERROR(ReadYaml(text, &loaded.config, &loaded.places));
  return Resolve(source, std::move(loaded));
}

absl::StatusOr<LoadedConfig> DefaultConfig(const ConfigSource& source) {
  LoadedConfig loaded;
  loaded.places = KeyPlaces("the default configuration");
  loaded.folder = ".";
  for (const std::string& role : RoleNames()) (*loaded.config.mutable_policies())[role];
  return Resolve(source, std::move(loaded));
}

std::vector<std::string> PolicyNames(const proto::Config& config) {
  std::vector<std::string> names;
  for (const std::string& role : RoleNames()) {
    const auto bound = config.roles().find(role);
    if (bound == config.roles().end()) continue;
    const std::string& policy = bound->second.policy();
    if (config.policies().contains(policy) && std::find(names.begin(), names.end(), policy) == names.end()) {
      names.push_back(policy);
    }
  }
  return names;
}

}  // namespace tandem
