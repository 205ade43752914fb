#include "launch/repeated_team.h"

#include <utility>

#include "base/status.h"

namespace tandem {

absl::StatusOr<RepeatedTeam> RepeatedTeam::Open(const JournaledRun& run, const proto::Config& config, bool exact) {
  RepeatedTeam team;
  team.loaded_ = std::make_unique<LoadedConfig>(run.loaded);
  team.loaded_->config = config;
  TANDEM_ASSIGN_OR_RETURN(team.environment_, OpenEnvironment(*team.loaded_));
  const DecoderFactory cpu = [weights = EngineWeights(config.rollout())](
                                 const ModelConfig& shape, int64_t pages) -> absl::StatusOr<std::unique_ptr<Decoder>> {
    return MakeCpuDecoder(shape, pages, weights);
  };
  TANDEM_ASSIGN_OR_RETURN(team.cast_, Cast::CreateForRun(config, *team.environment_, *team.clock_, cpu));
  TANDEM_ASSIGN_OR_RETURN(auto behind, VersionsBehind(run.journal));
  for (auto& [name, engine] : team.cast_->engines()) engine->Keep(behind[name]);
  for (const auto& [name, policy] : config.policies()) {
    TANDEM_ASSIGN_OR_RETURN(team.policies_[name],
                            RepeatedPolicy::Open(run, config, name, team.cast_->source(name), exact));
  }
  return team;
}

absl::StatusOr<bool> RepeatedTeam::Commit(const std::string& name, const proto::WeightsCommit& commit) {
  RepeatedPolicy& policy = *policies_.at(name);
  TANDEM_ASSIGN_OR_RETURN(const bool is_new, policy.Commit(commit));
  const auto engine = cast_->engines().find(name);
  if (is_new && engine != cast_->engines().end()) TANDEM_RETURN_IF_ERROR(policy.InstallInto(engine->second.get()));
  return is_new;
}

uint64_t RepeatedTeam::steps() const {
  uint64_t steps = 0;
  for (const auto& [name, policy] : policies_) steps += policy->steps();
  return steps;
}

}  // namespace tandem
