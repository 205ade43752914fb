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
    {"importance_weight_mean", Bin::kMean},
    {"ess", Bin::kMean},
    {"clip_fraction", Bin::kMean},
    {"kl", Bin::kMean},
    {"entropy", Bin::kMean},
    {"loss", Bin::kMean},
    {"grad_norm", Bin::kMean},
    {"learning_rate", Bin::kLast},
    {"mismatch", Bin::kMean},
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
      {"stages", Stages(records)},
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
