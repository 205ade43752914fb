#include "study/report_data.h"

#include <algorithm>
#include <iterator>

#include "study/activity.h"
#include "study/choose_episodes.h"
#include "study/series.h"

namespace tandem {
namespace {

constexpr size_t kPoints = 500;
constexpr size_t kQueuePoints = 200;
constexpr size_t kEpisodes = 10;

constexpr Field kStepFields[] = {
    {"step", Bin::kLast},
    {"time_s", Bin::kLast},
    {"reward_mean", Bin::kMean},
    {"staleness_mean", Bin::kMean},
    {"staleness_max", Bin::kMax},
    {"staleness_bound", Bin::kLast},
    {"staleness_in_flight_mean", Bin::kMean},
    {"staleness_in_queue_mean", Bin::kMean},
    {"mask_fraction", Bin::kMean},
    {"importance_weight_mean", Bin::kMean},
    {"ess", Bin::kMean},
    {"clip_fraction", Bin::kMean},
    {"kl", Bin::kMean},
    {"entropy", Bin::kMean},
    {"loss", Bin::kMean},
    {"grad_norm", Bin::kMean},
    {"learning_rate", Bin::kLast},
    {"mismatch", Bin::kMeanOfKnown},
    {"groups_without_variance", Bin::kMean},
    {"mixed_version_turns", Bin::kMean},
};
constexpr Field kSftFields[] = {
    {"step", Bin::kLast},    {"time_s", Bin::kLast},    {"loss", Bin::kMean},
    {"entropy", Bin::kMean}, {"grad_norm", Bin::kMean}, {"learning_rate", Bin::kLast},
};
constexpr Field kQueueFields[] = {{"time_s", Bin::kLast}, {"in_flight", Bin::kMean}, {"buffered", Bin::kMean}};

const std::vector<Json>& Of(const std::map<std::string, std::vector<Json>>& by_policy, const std::string& policy) {
  static const auto* const kNone = new std::vector<Json>();
  const auto found = by_policy.find(policy);
  return found == by_policy.end() ? *kNone : found->second;
}

double Sum(const std::vector<Json>& records, const char* field) {
  double sum = 0;
  for (const Json& record : records) sum += Number(record, field);
  return sum;
}

// Tokens by staleness over all steps: exact, whatever the curves leave out.
Json Histogram(const std::vector<Json>& steps) {
  std::vector<double> tokens;
  for (const Json& step : steps) {
    const Json& counts = Child(step, "staleness_histogram");
    for (size_t staleness = 0; counts.is_array() && staleness < counts.size(); ++staleness) {
      if (!counts[staleness].is_number()) continue;
      if (tokens.size() <= staleness) tokens.resize(staleness + 1);
      tokens[staleness] += counts[staleness].get<double>();
    }
  }
  return tokens;
}

// Mean |log ratio| of writer and trainer by staleness, over all steps.
Json LogRatios(const std::vector<Json>& steps) {
  std::vector<double> sums, tokens;
  for (const Json& step : steps) {
    const Json& means = Child(step, "log_ratio_by_age");
    const Json& counts = Child(step, "staleness_histogram");
    if (!means.is_array() || !counts.is_array()) continue;
    for (size_t age = 0; age < std::min(means.size(), counts.size()); ++age) {
      if (!means[age].is_number() || !counts[age].is_number()) continue;
      sums.resize(std::max(sums.size(), age + 1));
      tokens.resize(sums.size());
      sums[age] += means[age].get<double>() * counts[age].get<double>();
      tokens[age] += counts[age].get<double>();
    }
  }
  Json ratios = Json::array();
  for (size_t age = 0; age < sums.size(); ++age) {
    ratios.push_back(tokens[age] > 0 ? Rounded(sums[age] / tokens[age]) : Json());
  }
  return ratios;
}

// Mean partner drift of each step by the partner's name.
Json Drift(const std::vector<Json>& steps) {
  constexpr Field kFields[] = {{"step", Bin::kLast}, {"drift", Bin::kMean}};
  std::map<std::string, std::vector<Json>> by_partner;
  for (const Json& step : steps) {
    const Json& drift = Child(step, "drift_mean");
    if (!drift.is_object()) continue;
    for (const auto& [partner, mean] : drift.items()) {
      by_partner[partner].push_back({{"step", Number(step, "step")}, {"drift", mean}});
    }
  }
  Json columns = Json::object();
  for (const auto& [partner, records] : by_partner) columns[partner] = Columns(records, kFields, kPoints);
  return columns;
}

Json PolicyData(const RunRecords& records, const std::string& policy) {
  const std::vector<Json>& steps = Of(records.steps, policy);
  const std::vector<Json>& ledger = Of(records.ledger, policy);
  Json bound;  // stays null when no step names one: then the page claims nothing
  for (const Json& step : steps) {
    if (!step.contains("staleness_bound")) continue;
    bound = Rounded(std::max(bound.is_null() ? 0 : bound.get<double>(), Number(step, "staleness_bound")));
  }
  return {
      {"name", policy},
      {"steps", Columns(steps, kStepFields, kPoints)},
      {"sft", Columns(Of(records.sft, policy), kSftFields, kPoints)},
      {"last_step", steps.empty() ? Json() : Rounded(Number(steps.back(), "step"))},
      {"histogram", Histogram(steps)},
      {"log_ratios", LogRatios(steps)},
      {"drift", Drift(steps)},
      {"bound", bound},
      {"episodes", Rounded(Sum(steps, "episodes"))},
      {"tokens_trained", Rounded(Sum(steps, "tokens_trained"))},
      {"ledger", ledger.empty() ? Json() : ledger.back()},
      {"queues", Columns(ledger, kQueueFields, kQueuePoints)},
  };
}

}  // namespace

Json ReportData(const RunRecords& records) {
  Json policies = Json::array();
  for (const std::string& policy : records.policies) policies.push_back(PolicyData(records, policy));
  return {
      {"run", records.name},
      {"wall_s", Rounded(records.end_s)},
      {"policies", std::move(policies)},
      {"stages", StageTimes(records)},
      {"activity", Activity(records)},
      {"evaluations", records.evaluations},
      {"overlap", records.overlap.empty() ? Json() : records.overlap.back()},
      {"episodes", ChooseEpisodes(records, kEpisodes)},
      {"config", records.config},
      {"steps_redone", records.steps_redone},
      {"unreadable", records.unreadable},
      {"unreadable_total", records.unreadable_total},
  };
}

}  // namespace tandem
