#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "exchange/evaluation.h"
#include "launch/commands.h"
#include "launch/evaluation_setup.h"
#include "launch/numbers.h"
#include "launch/suggestion.h"

namespace tandem {
namespace {

void PrintJson(const proto::EvalMetrics& metrics, const EvaluationSetup& setup) {
  nlohmann::ordered_json json;
  json["success"] = metrics.success();
  json["plan_valid"] = metrics.plan_valid();
  json["plan_right"] = metrics.plan_right();
  json["executor_step_accuracy"] = metrics.executor_step_accuracy();
  json["episodes"] = metrics.episodes();
  json["temperature"] = metrics.temperature();
  for (const std::string& role : RoleNames()) {
    const auto tokens = metrics.tokens().find(role);
    json["tokens"][role] = tokens == metrics.tokens().end() ? 0.0 : tokens->second;
    json["roles"][role] = setup.players.at(role);
  }
  std::printf("%s\n", json.dump().c_str());
}

void PrintTable(const proto::EvalMetrics& metrics, const EvaluationSetup& setup) {
  const auto row = [](const std::string& name, const std::string& value) {
    std::printf("%-28s %s\n", name.c_str(), value.c_str());
  };
  const auto percent = [](double share) { return absl::StrFormat("%7.1f %%", 100 * share); };
  for (const std::string& role : RoleNames()) row(role, setup.players.at(role));
  row("held-out episodes", absl::StrFormat("%s, temperature %g", Thousands(metrics.episodes()), metrics.temperature()));
  row("success", percent(metrics.success()));
  row("plan valid", percent(metrics.plan_valid()));
  row("plan right", percent(metrics.plan_right()));
  row("executor step accuracy", percent(metrics.executor_step_accuracy()));
  for (const std::string& role : RoleNames()) {
    const auto tokens = metrics.tokens().find(role);
    row(absl::StrCat("tokens per episode, ", role),
        absl::StrFormat("%7.1f", tokens == metrics.tokens().end() ? 0.0 : tokens->second));
  }
}

}  // namespace

int Evaluate(const EvalFlags& flags) {
  if (flags.episodes == 0) return BadInput(absl::InvalidArgumentError("--episodes: expected at least 1, found 0"));
  if (!(flags.temperature >= 0 && flags.temperature <= 10)) {
    return BadInput(absl::InvalidArgumentError(
        absl::StrCat("--temperature: expected a number from 0 (greedy) to 10, found ", flags.temperature)));
  }
  const absl::StatusOr<EvaluationSetup> setup = SetUpEvaluation(flags.request);
  if (!setup.ok()) return BadInput(setup.status());
  const absl::StatusOr<DecoderFactory> factory = MakeDecoderFactory(setup->loaded.config.rollout());
  if (!factory.ok()) return BadInput(factory.status());
  OfflineRun run;
  run.config = setup->loaded.config;
  run.environment = setup->environment.get();
  run.roles = setup->roles;
  run.episodes = flags.episodes;
  run.temperature = static_cast<float>(flags.temperature);
  run.seed = flags.seed;
  Evaluation evaluation("eval", flags.temperature);
  const absl::Status played = PlayEpisodes(run, *factory, [&](proto::Episode episode) { evaluation.Add(episode); });
  if (!played.ok()) return Failed(played);
  flags.json ? PrintJson(evaluation.Metrics(), *setup) : PrintTable(evaluation.Metrics(), *setup);
  return kExitFine;
}

}  // namespace tandem
