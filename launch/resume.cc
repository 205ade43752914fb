#include "launch/resume.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "launch/preflight.h"
#include "launch/run_folder.h"
#include "launch/schema.h"
#include "trainer/checkpoint.h"

namespace tandem {

absl::StatusOr<ResumePlan> PlanResume(const std::string& run_folder, const proto::Config& config) {
  ResumePlan plan;
  plan.clock_offset_s = LastTime(run_folder);
  plan.incarnation = LastIncarnation(run_folder).value_or(0) + 1;
  bool complete = true;
  for (const std::string& policy : PolicyNames(config)) {
    const std::vector<CheckpointName> names = ListCheckpoints(run_folder, policy);
    for (const CheckpointName& name : names) plan.incarnation = std::max(plan.incarnation, name.incarnation + 1);
    if (names.empty()) {
      complete = false;
      continue;
    }
    TANDEM_RETURN_IF_ERROR(ReadCheckpointState(CheckpointFolder(run_folder, policy, names.back())).status());
    plan.checkpoints[policy] = names.back();
    if (names.back().sft || names.back().step < config.train().steps()) complete = false;
  }
  if (plan.checkpoints.empty()) {
    return absl::NotFoundError(absl::StrCat(run_folder, ": there is no checkpoint in it to go on from"));
  }
  if (complete) {
    return absl::FailedPreconditionError(absl::StrCat(run_folder, ": all of its ", config.train().steps(),
                                                      " steps are done; --set train.steps=N goes further"));
  }
  return plan;
}

absl::Status CheckSameShape(const LoadedConfig& before, const LoadedConfig& now) {
  for (const std::string& role : RoleNames()) {
    const std::string& policy = before.config.roles().at(role).policy();
    if (now.config.roles().at(role).policy() != policy) {
      return now.places.Error(absl::StrCat("roles.", role, ".policy"),
                              absl::StrCat("a resumed run keeps its roles: it was ", policy));
    }
  }
  for (const auto& [name, policy] : before.config.policies()) {
    const proto::ModelConfig& was = policy.model();
    const proto::ModelConfig& is = now.config.policies().at(name).model();
    const auto* type = was.GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      if (ScalarText(was, field) == ScalarText(is, field)) continue;
      return now.places.Error(
          absl::StrCat("policies.", name, ".model.", field->name()),
          absl::StrCat("a resumed run keeps the shape of its models: it was ", ScalarText(was, field)));
    }
  }
  TANDEM_ASSIGN_OR_RETURN(const std::unique_ptr<Environment> was, OpenEnvironment(before));
  TANDEM_ASSIGN_OR_RETURN(const std::unique_ptr<Environment> is, OpenEnvironment(now));
  if (was->alphabet() != is->alphabet()) {
    return now.places.Error("environment", absl::StrCat("a resumed run keeps its alphabet: it was ", was->alphabet(),
                                                        ", and would be ", is->alphabet()));
  }
  return absl::OkStatus();
}

absl::Status CheckSameModels(const LoadedConfig& loaded, const std::string& run_folder, const ResumePlan& plan) {
  TANDEM_ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment, OpenEnvironment(loaded));
  for (const auto& [policy, name] : plan.checkpoints) {
    const std::string& init = loaded.config.policies().at(policy).init();
    if (init.empty()) continue;
    const std::string folder = CheckpointFolder(run_folder, policy, name);
    TANDEM_ASSIGN_OR_RETURN(const PolicySource source, OpenPolicy(loaded, policy, *environment));
    TANDEM_ASSIGN_OR_RETURN(const CheckpointState state, ReadCheckpointState(folder));
    const auto differs = [&](const std::string& file) {
      return loaded.places.Error(
          absl::StrCat("policies.", policy, ".init"),
          absl::StrCat(init, "/", file, " has changed since the run began: it differs from what ", folder, " has"));
    };
    if (!(state.shape == source.shape)) return differs("config.json");
    for (const auto& [file, text] : source.companions) {
      if (file == "config.json" || file == "generation_config.json") continue;
      const absl::StatusOr<std::string> theirs = ReadFile(absl::StrCat(folder, "/", file));
      if (!theirs.ok() || *theirs != text) return differs(file);
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem
