#include "study/simulation/fitted_work.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "study/run_records.h"
#include "study/simulation/group_legs.h"
#include "study/simulation/recorded_groups.h"
#include "study/simulation/round_fit.h"

namespace tandem {
namespace {

constexpr size_t kLeastSteps = 3;    // of a policy, after the first
constexpr double kLeastWait = 0.05;  // the share of steps that waited less than what is taken for the wait of all
constexpr double kNearby = 0.05;     // share of the run, before and after, that a group is drawn from

double Total(const std::vector<Json>& records, const char* field) {
  double sum = 0;
  for (const Json& record : records) sum += Number(record, field);
  return sum;
}

// Those of the reinforcement part, whole.
std::vector<Json> Within(const std::vector<Json>& records, double from_s, double to_s) {
  std::vector<Json> within;
  for (const Json& record : records) {
    const double end_s = Number(record, "time_s");
    if (end_s - Number(record, "interval_s") >= from_s && end_s <= to_s) within.push_back(record);
  }
  return within;
}

// What a step takes without a single token: the intercept of the least squares' line, if it makes sense.
double FixedPart(const std::vector<double>& tokens, const std::vector<double>& cpu_s) {
  double x = 0, y = 0, xx = 0, xy = 0;
  const auto n = static_cast<double>(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    x += tokens[i];
    y += cpu_s[i];
    xx += tokens[i] * tokens[i];
    xy += tokens[i] * cpu_s[i];
  }
  const double spread = n * xx - x * x;
  if (spread <= 1e-4 * n * xx) return 0;
  const double slope = (n * xy - x * y) / spread;
  return std::clamp((y - slope * x) / n, 0.0, 0.8 * y / n);
}

// The least but kLeastWait of them.
double Least(std::vector<double> values) {
  const auto least = values.begin() + static_cast<ptrdiff_t>(kLeastWait * static_cast<double>(values.size()));
  std::ranges::nth_element(values, least);
  return *least;
}

FittedTrainer FitTrainer(const std::vector<Json>& steps, uint32_t threads) {
  FittedTrainer trainer;
  std::vector<double> tokens, waits;
  for (size_t i = 1; i < steps.size(); ++i) {
    const double cpu_s = Number(steps[i], "cpu_s");
    trainer.step_cpu_s.push_back(cpu_s);
    tokens.push_back(Number(steps[i], "tokens_trained"));
    waits.push_back(std::max(0.0, Number(steps[i], "step_s") * (1 - Number(steps[i], "wait_share")) - cpu_s / threads));
  }
  trainer.fixed_cpu_s = FixedPart(tokens, trainer.step_cpu_s);
  trainer.wait_s = Least(waits);
  return trainer;
}

// It takes the exchange at most the time that its part of a batch's groups costs it.
double BatchTime(const RunRecords& records, double groups_cpu_s) {
  double least_s = groups_cpu_s / static_cast<double>(records.steps.size() + 1);
  for (const auto& [policy, steps] : records.steps) {
    std::vector<double> waits;
    for (size_t i = 1; i < steps.size(); ++i) {
      waits.push_back(Number(steps[i], "step_s") * Number(steps[i], "wait_share"));
    }
    least_s = std::min(least_s, Least(waits));
  }
  return least_s;
}

double PublishLag(const std::vector<Json>& rollout) {
  double sum = 0;
  int count = 0;
  for (const Json& line : rollout) {
    for (const Json& lag : Child(line, "publish_lag_s")) {
      if (!lag.is_number()) continue;
      sum += lag.get<double>();
      ++count;
    }
  }
  return count > 0 ? std::max(0.0, sum / count) : 0;  // clocks of processes differ by less than a millisecond
}

// Over the steps that VirtualGauge measures: from when the slowest policy has made a fifth of them to when the last
// ticket was issued, but a quarter of them at least.
void MeasureRun(const RunRecords& records, FittedWork* work) {
  const proto::TrainConfig& train = work->config.train();
  const double all = 1.0 * train.steps() * train.groups_per_step() * train.group_size();
  std::map<uint32_t, double> published_s;  // by all policies, by step
  uint32_t made = train.steps(), last = train.steps();
  for (const auto& [policy, steps] : records.steps) {
    for (const Json& step : steps) {
      double& time_s = published_s[static_cast<uint32_t>(Number(step, "step"))];
      time_s = std::max(time_s, Number(step, "time_s"));
    }
    made = std::min(made, static_cast<uint32_t>(Number(steps.back(), "step")));
  }
  for (const auto& [policy, lines] : records.ledger) {
    const auto issued = std::ranges::find_if(
        lines, [all](const Json& line) { return Number(line, "issued") - Number(line, "rejected") >= all; });
    last = std::min(last, static_cast<uint32_t>(issued - lines.begin()) + 1);
  }
  const auto first = static_cast<uint32_t>(std::ceil(0.2 * train.steps()));
  last = std::min(made, std::max(last, first + (train.steps() + 3) / 4));
  if (first < 1 || first >= last || !published_s.contains(first) || !published_s.contains(last)) return;
  const double seconds = published_s.at(last) - published_s.at(first);
  if (seconds > 0) work->groups_per_s = 1.0 * (last - first) * train.groups_per_step() / seconds;
  for (const auto& [policy, steps] : records.steps) {
    double age = 0, tokens = 0;
    for (const Json& step : steps) {
      if (Number(step, "step") <= first || Number(step, "step") > last) continue;
      age += Number(step, "staleness_mean") * Number(step, "tokens_trained");
      tokens += Number(step, "tokens_trained");
    }
    if (tokens > 0) work->mean_age += age / tokens / static_cast<double>(records.steps.size());
  }
}

// Mean time of a call, of a Pareto distribution that is cut off.
double MeanTool_s(const proto::ToolConfig& tool) {
  const double least = tool.least_ms(), most = std::max(tool.most_ms(), least), alpha = tool.alpha();
  const double tail =
      std::abs(alpha - 1) < 1e-9
          ? least * std::log(most / least)
          : std::pow(least, alpha) * (std::pow(most, 1 - alpha) - std::pow(least, 1 - alpha)) / (1 - alpha);
  return 1e-3 * (least + tail);
}

std::set<std::string> SortedNames(const proto::Config& config) {
  std::set<std::string> names;
  for (const auto& [name, policy] : config.policies()) names.insert(name);
  return names;
}

absl::Status CheckSame(const std::string& what, const google::protobuf::Message& ran,
                       const google::protobuf::Message& wanted) {
  if (ran.SerializeAsString() == wanted.SerializeAsString()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": the run had another; what it measured says nothing about this one"));
}

absl::Status CheckComparable(const proto::Config& ran, const proto::Config& wanted) {
  for (const auto& [name, policy] : wanted.policies()) {
    const auto found = ran.policies().find(name);
    if (found == ran.policies().end()) {
      return absl::InvalidArgumentError(absl::StrCat("policies.", name, ": the run had no such policy"));
    }
    TANDEM_RETURN_IF_ERROR(CheckSame(absl::StrCat("policies.", name, ".model"), found->second.model(), policy.model()));
  }
  if (ran.policies_size() != wanted.policies_size()) {
    return absl::InvalidArgumentError(absl::StrCat("policies: the run had ", ran.policies_size()));
  }
  if (ran.environment().has_tool() != wanted.environment().has_tool()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "environment.tool: the run had ", ran.environment().has_tool() ? "one" : "none",
        "; what it measured says nothing about a run ", wanted.environment().has_tool() ? "with one" : "without"));
  }
  proto::EnvironmentConfig before = ran.environment(), now = wanted.environment();
  for (proto::EnvironmentConfig* environment : {&before, &now}) {
    environment->clear_tool();
    environment->clear_tasks();  // a path
  }
  return CheckSame("environment", before, now);
}

}  // namespace

absl::StatusOr<FittedWork> FitWork(const std::string& run_folder, const std::string& journal,
                                   const proto::Config& config) {
  const std::string metrics = run_folder + "/metrics.jsonl";
  TANDEM_ASSIGN_OR_RETURN(const RunRecords records, ReadRunRecords(run_folder));
  const auto too_little = [](const std::string& file, const std::string& what) {
    return absl::FailedPreconditionError(absl::StrCat(file, ": ", what));
  };
  double end_s = 0;
  for (const std::string& name : SortedNames(config)) {
    const auto steps = records.steps.find(name);
    const size_t made = steps == records.steps.end() ? 0 : steps->second.size();
    if (made <= kLeastSteps) {
      return too_little(metrics,
                        absl::StrCat(made, " steps of ", name, ": too few to tell what a step takes; expected ",
                                     kLeastSteps + 1, " or more"));
    }
    if (Total(steps->second, "cpu_s") <= 0)
      return too_little(metrics, "has no CPU times: it ran in virtual time, or an older build wrote it");
    end_s = std::max(end_s, Number(steps->second.back(), "time_s"));
  }
  TANDEM_ASSIGN_OR_RETURN(const RecordedGroups recorded, ReadRecordedGroups(journal));
  if (recorded.groups.empty()) return too_little(journal, "no group was played in it");

  FittedWork work;
  work.config = config;
  const double begin_s = recorded.groups.front().issued_s;
  for (const auto& [name, policy] : config.policies()) {
    work.trainers[name] = FitTrainer(records.steps.at(name), policy.threads());
  }
  uint64_t tokens = 0, most = 0;
  for (const auto& [policy, count] : recorded.tokens) {
    tokens += count;
    most = std::max(most, count);
  }
  if (tokens == 0) return too_little(journal, "no token was generated in it");
  work.written = recorded.written;
  work.largest_share = static_cast<double>(most) / static_cast<double>(tokens);
  const std::vector<Json> rollout = Within(records.rollout, begin_s, end_s);
  const double generated = Total(rollout, "tokens_generated"), worker_cpu_s = Total(rollout, "cpu_s");
  if (generated <= 0 || worker_cpu_s <= 0) {
    return too_little(metrics, "no second of generation in it: the run was too short to tell what a token takes");
  }
  const RoundFit rounds = FitRounds(recorded.groups, config.rollout().max_batch() / work.largest_share);
  work.turn_cpu_s = worker_cpu_s / generated / (1 + rounds.own * rounds.rounds_per_token);
  work.round_cpu_s = rounds.own * work.turn_cpu_s;
  work.group_cpu_s =
      worker_cpu_s / generated * static_cast<double>(tokens) / static_cast<double>(recorded.groups.size());
  work.publish_s = PublishLag(rollout);
  for (const RecordedGroup& group : recorded.groups) {
    work.groups.push_back(WorkOf(group, config.environment().has_tool()));
  }
  const std::vector<Json> exchange = Within(records.exchange, begin_s, end_s);
  const double exchange_s = Total(exchange, "interval_s"), run_s = end_s - begin_s;
  if (exchange_s > 0) {
    work.exchange_cpu_s = Total(exchange, "cpu_s") / exchange_s * run_s / static_cast<double>(recorded.groups.size());
  }
  work.batch_s = BatchTime(records, work.exchange_cpu_s * config.train().groups_per_step());
  MeasureRun(records, &work);
  return work;
}

absl::StatusOr<Workload> WorkFor(const FittedWork& fitted, const proto::Config& config, const WorkChanges& changes) {
  TANDEM_RETURN_IF_ERROR(CheckComparable(fitted.config, config));
  const auto speed_of = [&changes](const std::string& name) {
    const auto found = changes.speed.find(name);
    return found == changes.speed.end() ? 1.0 : found->second;
  };
  const proto::TrainConfig &ran = fitted.config.train(), &train = config.train();
  const double episodes = 1.0 * train.group_size() / ran.group_size();
  Workload work;
  for (const auto& [name, trainer] : fitted.trainers) {
    const proto::PolicyConfig& policy = config.policies().at(name);
    const double ranks = policy.ranks();
    // Each rank has its part of the tokens, and all of what is fixed.
    const double tokens =
        episodes * train.groups_per_step() / ran.groups_per_step() * fitted.config.policies().at(name).ranks() / ranks;
    const double wait_s = trainer.wait_s + fitted.batch_s * episodes * train.groups_per_step() / ran.groups_per_step();
    work.step[name] = [&trainer, tokens, ranks, wait_s, threads = policy.threads(),
                       speed = speed_of(name)](double progress) {
      const auto size = static_cast<double>(trainer.step_cpu_s.size());
      const double cpu_s = trainer.step_cpu_s[static_cast<size_t>(std::min(progress * size, size - 1))];
      const double scaled = trainer.fixed_cpu_s + std::max(0.0, cpu_s - trainer.fixed_cpu_s) * tokens;
      return StepWork{scaled * ranks / speed, wait_s, threads * static_cast<uint32_t>(ranks)};
    };
  }
  const double tool = config.environment().has_tool()
                          ? MeanTool_s(config.environment().tool()) / MeanTool_s(fitted.config.environment().tool())
                          : 1;
  work.group = [&fitted, episodes, tool](double progress, RandomStream& random) {
    const auto size = static_cast<double>(fitted.groups.size());
    const double place = (progress + kNearby * (2 * random.Uniform() - 1)) * size;
    GroupWork group = fitted.groups[static_cast<size_t>(std::clamp(place, 0.0, size - 1))];
    group.turns *= episodes;
    for (GroupWork::Leg& leg : group.legs) leg.wait_s *= tool;
    return group;
  };
  work.round_cpu_s = fitted.round_cpu_s / speed_of("workers");
  work.turn_cpu_s = fitted.turn_cpu_s / speed_of("workers");
  work.most_turns = config.rollout().max_batch() / fitted.largest_share;
  work.written = fitted.written;
  work.exchange_cpu_s = fitted.exchange_cpu_s * episodes;
  work.publish_s = changes.publish_s.value_or(fitted.publish_s);
  return work;
}

}  // namespace tandem
