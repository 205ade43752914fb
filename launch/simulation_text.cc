#include "launch/simulation_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace tandem {
namespace {

std::string AgesText(const std::vector<double>& age_share) {
  std::vector<std::string> shares;
  for (const double share : age_share) shares.push_back(absl::StrFormat("%.0f", 100 * share));
  return absl::StrCat(absl::StrJoin(shares, " "), " %");
}

std::string LeftOutText(const VirtualLane& lane) {
  std::vector<std::string> texts;
  for (const auto& [reason, groups] : lane.rejected) {
    texts.push_back(absl::StrCat(groups.size(), " groups ", reason));
  }
  if (lane.over_bound_share > 0) {
    texts.push_back(absl::StrFormat("%.1f %% of tokens masked", 100 * lane.over_bound_share));
  }
  return texts.empty() ? "" : absl::StrCat("; left out: ", absl::StrJoin(texts, ", "));
}

double MeanStep_s(const FittedTrainer& trainer) {
  const double sum = std::accumulate(trainer.step_cpu_s.begin(), trainer.step_cpu_s.end(), 0.0);
  return sum / std::max<double>(1, static_cast<double>(trainer.step_cpu_s.size()));
}

double MeanWait_s(const FittedWork& fitted) {
  double sum = 0;
  for (const GroupWork& group : fitted.groups) {
    for (const GroupWork::Leg& leg : group.legs) sum += leg.wait_s;
  }
  return sum / static_cast<double>(fitted.groups.size());
}

nlohmann::json KnownOrNull(double value) { return value > 0 ? nlohmann::json(value) : nlohmann::json(); }

// The share of Tandem's groups that were issued and not trained on.
double ThrownAway(const VirtualRun& run) {
  uint64_t most = 0;
  for (const auto& [policy, lane] : run.lanes) {
    uint64_t rejected = 0;
    for (const auto& [reason, groups] : lane.rejected) rejected += groups.size();
    most = std::max(most, rejected);
  }
  return run.issued > 0 ? static_cast<double>(most) / static_cast<double>(run.issued) : 0;
}

std::string RuleLine(const std::string& rule, double groups_per_s, double over_bound, size_t ages, double mean_age,
                     double thrown_away) {
  return absl::StrFormat("  %-14s %10.3f %18.1f %% %11d %10.2f %17.1f %%\n", rule, groups_per_s, 100 * over_bound,
                         std::max<int>(0, static_cast<int>(ages) - 1), mean_age, 100 * thrown_away);
}

}  // namespace

double MeanAge(const std::vector<double>& age_share) {
  double mean = 0;
  for (size_t age = 0; age < age_share.size(); ++age) mean += static_cast<double>(age) * age_share[age];
  return mean;
}

double MeanAge(const VirtualRun& run) {
  double sum = 0;
  for (const auto& [policy, lane] : run.lanes) sum += MeanAge(lane.age_share);
  return sum / std::max<double>(1, static_cast<double>(run.lanes.size()));
}

// What the others wait for, most of the time. While cores are contended everybody is slow, trainers too.
std::string LimitedBy(const VirtualRun& run) {
  if (run.contended_share > 0.5) return "the cores";
  std::string gate, trainer;
  double held_up = 0.5, training = 0.9;
  for (const auto& [policy, lane] : run.lanes) {
    if (lane.training_share > training) trainer = absl::StrCat("training of ", policy);
    training = std::max(training, lane.training_share);
    if (lane.held_up_share > held_up) gate = absl::StrCat("the bound of ", policy);
    held_up = std::max(held_up, lane.held_up_share);
  }
  if (!trainer.empty()) return trainer;
  if (run.exchange_share > 0.9) return "the exchange";
  return !gate.empty() ? gate : "generation";
}

std::string FittedText(const std::string& run, const FittedWork& fitted, const VirtualRun& again) {
  std::string text = absl::StrFormat("fitted to %d groups of %s; CPU time: %.1f ms a group in its worker",
                                     fitted.groups.size(), run, 1e3 * fitted.group_cpu_s);
  absl::StrAppendFormat(&text, " (a round costs as much as %.1f turns), %.2f ms a group in the exchange",
                        fitted.turn_cpu_s > 0 ? fitted.round_cpu_s / fitted.turn_cpu_s : 0,
                        1e3 * fitted.exchange_cpu_s);
  for (const auto& [policy, trainer] : fitted.trainers) {
    absl::StrAppendFormat(&text, ",\n  %.1f ms a step of %s (%.1f ms of it fixed, and %.1f ms of waiting)",
                          1e3 * MeanStep_s(trainer), policy, 1e3 * trainer.fixed_cpu_s, 1e3 * trainer.wait_s);
  }
  absl::StrAppendFormat(&text, ";\n  a group waits for tools for %.1f ms, workers for a version for %.1f ms\n",
                        1e3 * MeanWait_s(fitted), 1e3 * fitted.publish_s);
  if (fitted.groups_per_s > 0) {
    absl::StrAppendFormat(
        &text, "the run itself: %.3f groups/s and a mean age of %.2f measured, %.3f and %.2f simulated (%+.1f %%)\n",
        fitted.groups_per_s, fitted.mean_age, again.groups_per_s, MeanAge(again),
        100 * (again.groups_per_s / fitted.groups_per_s - 1));
  }
  return text;
}

std::string FittedJson(const std::string& run, const FittedWork& fitted, const VirtualRun& again) {
  nlohmann::ordered_json json;
  json["from"] = run;
  json["groups"] = fitted.groups.size();
  json["group_cpu_s"] = fitted.group_cpu_s;
  json["group_wait_s"] = MeanWait_s(fitted);
  json["round_cpu_s"] = fitted.round_cpu_s;
  json["turn_cpu_s"] = fitted.turn_cpu_s;
  json["exchange_cpu_s"] = fitted.exchange_cpu_s;
  json["publish_s"] = fitted.publish_s;
  for (const auto& [policy, trainer] : fitted.trainers) {
    json["step"][policy] = {
        {"cpu_s", MeanStep_s(trainer)}, {"fixed_cpu_s", trainer.fixed_cpu_s}, {"wait_s", trainer.wait_s}};
  }
  json["measured"] = {{"groups_per_s", fitted.groups_per_s}, {"mean_age", fitted.mean_age}};
  json["simulated"] = {{"groups_per_s", again.groups_per_s}, {"mean_age", MeanAge(again)}};
  return absl::StrCat(json.dump(), "\n");
}

std::string SimulatedText(const Simulated& s) {
  std::string text = absl::StrFormat("bound %u: %.3f groups/s", s.bound, s.run.groups_per_s);
  if (s.unbounded > 0) {
    absl::StrAppendFormat(&text, ", %.0f %% of those without a bound", 100 * s.run.groups_per_s / s.unbounded);
  }
  if (s.limit > 0) {
    absl::StrAppendFormat(&text, "; in the long run no scheduler could reach more than %.3f",
                          std::min(s.limit, s.unbounded));
  }
  absl::StrAppendFormat(&text, "\n  %.1f groups in play, mean age %.2f; limited by %s\n", s.run.in_play, MeanAge(s.run),
                        LimitedBy(s.run));
  for (const auto& [policy, lane] : s.run.lanes) {
    absl::StrAppendFormat(
        &text, "  %-10s training %.0f %% of the time, %.1f groups buffered; tokens of age 0, 1, ...: %s%s\n", policy,
        100 * lane.training_share, lane.buffered, AgesText(lane.age_share), LeftOutText(lane));
  }
  return text;
}

std::string SimulatedJson(const Simulated& s) {
  nlohmann::ordered_json json;
  json["bound"] = s.bound;
  json["groups_per_s"] = s.run.groups_per_s;
  json["limit_groups_per_s"] = KnownOrNull(s.limit);
  json["unbounded_groups_per_s"] = KnownOrNull(s.unbounded);
  json["in_play"] = s.run.in_play;
  json["mean_age"] = MeanAge(s.run);
  json["contended_share"] = s.run.contended_share;
  json["exchange_share"] = s.run.exchange_share;
  json["limited_by"] = LimitedBy(s.run);
  for (const auto& [policy, lane] : s.run.lanes) {
    auto& of = json["policies"][policy];
    of["training_share"] = lane.training_share;
    of["held_up_share"] = lane.held_up_share;
    of["buffered"] = lane.buffered;
    of["age_share"] = lane.age_share;
    of["masked_share"] = lane.over_bound_share;
    of["rejected"] = nlohmann::ordered_json::object();
    for (const auto& [reason, groups] : lane.rejected) of["rejected"][reason] = groups.size();
  }
  return absl::StrCat(json.dump(), "\n");
}

std::string RuleText(const Simulated& s) {
  const std::string head =
      "  rule             groups/s  tokens over bound  oldest token   mean age  groups thrown away\n";
  size_t ages = 0;
  double over = 0;
  for (const auto& [policy, lane] : s.run.lanes) {
    ages = std::max(ages, lane.age_share.size());
    double share = 0;
    for (size_t age = s.bound + 1; age < lane.age_share.size(); ++age) share += lane.age_share[age];
    over = std::max(over, share);
  }
  return head + RuleLine("tandem", s.run.groups_per_s, over, ages, MeanAge(s.run), ThrownAway(s.run));
}

std::string RuleText(const std::string& rule, const RivalRun& run) {
  return RuleLine(rule, run.groups_per_s, run.over_bound_share, run.age_share.size(), MeanAge(run.age_share),
                  run.thrown_away_share);
}

std::string RuleJson(const std::string& rule, uint32_t bound, const RivalRun& run) {
  nlohmann::ordered_json json;
  json["rule"] = rule;
  json["bound"] = bound;
  json["groups_per_s"] = run.groups_per_s;
  json["over_bound_share"] = run.over_bound_share;
  json["thrown_away_share"] = run.thrown_away_share;
  json["training_share"] = run.training_share;
  json["in_play"] = run.in_play;
  json["mean_age"] = MeanAge(run.age_share);
  json["age_share"] = run.age_share;
  return absl::StrCat(json.dump(), "\n");
}

}  // namespace tandem
