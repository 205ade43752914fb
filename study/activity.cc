#include "study/activity.h"

#include <algorithm>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "study/timeline.h"

namespace tandem {
namespace {

constexpr size_t kBins = 140;
constexpr size_t kWorkerRows = 6;

struct Span {
  double from, to;
};

// What a step's record speaks for. Without step_s: from the record before.
Span StepSpan(const std::vector<Json>& steps, size_t i) {
  const double to = Number(steps[i], "time_s");
  if (const double length = Number(steps[i], "step_s"); length > 0) return {to - length, to};
  return {i > 0 ? Number(steps[i - 1], "time_s") : to, to};
}

// From the start of the earliest of the steps to the end of the last; to < from when there is none.
Span StageSpan(const std::map<std::string, std::vector<Json>>& by_policy) {
  Span stage = {std::numeric_limits<double>::infinity(), -1};
  for (const auto& [policy, steps] : by_policy) {
    if (steps.empty()) continue;
    stage.from = std::min(stage.from, std::max(0.0, StepSpan(steps, 0).from));
    stage.to = std::max(stage.to, Number(steps.back(), "time_s"));
  }
  return stage;
}

// The reinforcement part. Its first step waits for its batch while the warm start is still being evaluated: that is
// left out.
Span TrainSpan(const RunRecords& records) {
  Span stage = StageSpan(records.steps);
  for (const Json& evaluation : records.evaluations) {
    const double time = Number(evaluation, "time_s");
    if (Text(evaluation, "stage") == "after_sft" && time < stage.to) stage.from = std::max(stage.from, time);
  }
  return stage;
}

// Mean of shares over the time that they cover within `window`.
struct WindowMean {
  double sum = 0, covered = 0;
  void Add(Span span, double share, Span window) {
    const double overlap = std::min(span.to, window.to) - std::max(span.from, window.from);
    if (!(overlap > 0) || !std::isfinite(share)) return;
    sum += share * overlap;
    covered += overlap;
  }
  double Value() const { return covered > 0 ? sum / covered : std::numeric_limits<double>::quiet_NaN(); }
};

struct Wait {
  Timeline::Track track;
  WindowMean mean;
};

struct Worker {
  Timeline::Track tokens;
  Wait wait;
};

// Tokens per second of all workers: each one's rate while it was heard of, added up; null where none was.
Json AddUp(const Timeline& timeline, const std::map<std::string, Worker>& workers) {
  std::vector<double> sum(timeline.bins(), std::numeric_limits<double>::quiet_NaN());
  for (const auto& [name, worker] : workers) {
    const Json rates = timeline.Mean(worker.tokens);
    for (size_t bin = 0; bin < sum.size(); ++bin) {
      if (rates[bin].is_null()) continue;
      sum[bin] = (std::isnan(sum[bin]) ? 0 : sum[bin]) + rates[bin].get<double>();
    }
  }
  Json rounded = Json::array();
  for (const double rate : sum) rounded.push_back(Rounded(rate));
  return rounded;
}

Json WaitRow(const Timeline& timeline, const std::string& name, const std::string& side, const Wait& wait) {
  return {{"name", name}, {"side", side}, {"share", timeline.Mean(wait.track)}, {"mean", Rounded(wait.mean.Value())}};
}

void AddTrainers(const RunRecords& records, const Timeline& timeline, Span window, Json& activity) {
  for (const std::string& policy : records.policies) {
    Timeline::Track trained = timeline.NewTrack();
    Wait wait = {timeline.NewTrack(), {}};
    for (const auto* stage : {&records.sft, &records.steps}) {
      const auto found = stage->find(policy);
      if (found == stage->end()) continue;
      for (size_t i = 0; i < found->second.size(); ++i) {
        const Span span = StepSpan(found->second, i);
        const double share = Number(found->second[i], "wait_share");
        timeline.Add(span.from, span.to, Number(found->second[i], "tokens_per_s"), trained);
        timeline.Add(span.from, span.to, share, wait.track);
        wait.mean.Add(span, share, window);
      }
    }
    activity["trained"][policy] = timeline.Mean(trained);
    Json row = WaitRow(timeline, policy, "trainer", wait);
    row["policy"] = policy;
    activity["waits"].push_back(std::move(row));
  }
}

void AddWorkers(const RunRecords& records, const Timeline& timeline, Span window, Json& activity) {
  Timeline::Track finished = timeline.NewTrack(), masked = timeline.NewTrack();
  std::map<std::string, Timeline::Track> faults;
  std::map<std::string, Worker> workers;  // by name
  Wait all = {timeline.NewTrack(), {}};
  double tokens = 0;
  for (const Json& record : records.rollout) {
    const double to = Number(record, "time_s"), length = Number(record, "interval_s");
    tokens += Number(record, "tokens_generated");
    if (!(length > 0)) continue;
    const Span span = {to - length, to};
    const auto spread = [&](double total, Timeline::Track& track) {
      timeline.Add(span.from, span.to, total / length, track);
    };
    spread(Number(record, "episodes"), finished);
    spread(Number(record, "masked_tokens"), masked);
    for (const auto& fault : Child(record, "faults").items()) {
      if (!fault.value().is_number()) continue;
      spread(fault.value().get<double>(), faults.try_emplace(fault.key(), timeline.NewTrack()).first->second);
    }
    const double share = Number(record, "wait_share");
    Worker& worker = workers.try_emplace(Text(record, "worker"), Worker{timeline.NewTrack(), {timeline.NewTrack(), {}}})
                         .first->second;
    spread(Number(record, "tokens_generated"), worker.tokens);
    for (Wait* one : {&worker.wait, &all}) {
      timeline.Add(span.from, span.to, share, one->track);
      one->mean.Add(span, share, window);
    }
  }
  activity["tokens_generated"] = Rounded(tokens);
  activity["generated"] = AddUp(timeline, workers);
  activity["finished"] = timeline.Total(finished);
  activity["masked_tokens"] = timeline.Total(masked);
  for (const auto& [kind, track] : faults) activity["faults"][kind] = timeline.Total(track);
  if (workers.size() > kWorkerRows) {
    activity["waits"].push_back(WaitRow(timeline, absl::StrCat(workers.size(), " workers"), "worker", all));
  } else {
    for (const auto& [name, worker] : workers) {
      activity["waits"].push_back(WaitRow(timeline, name, "worker", worker.wait));
    }
  }
}

// How much of its time a process that says so in `records` was idle; no row where none was.
void AddIdle(const std::vector<Json>& records, const char* field, const std::string& name, const std::string& side,
             const Timeline& timeline, Span window, Json& activity) {
  Wait idle = {timeline.NewTrack(), {}};
  bool any = false;
  for (const Json& record : records) {
    const double to = Number(record, "time_s"), length = Number(record, "interval_s"), share = Number(record, field);
    if (!(length > 0) || !std::isfinite(share)) continue;
    const Span span = {to - length, to};
    any |= share > 0;
    timeline.Add(span.from, span.to, share, idle.track);
    idle.mean.Add(span, share, window);
  }
  if (any) activity["waits"].push_back(WaitRow(timeline, name, side, idle));
}

Json SpanOrNull(Span span) {
  if (!(span.to > span.from)) return nullptr;
  return Json::array({Rounded(span.from), Rounded(span.to)});
}

}  // namespace

Json Activity(const RunRecords& records) {
  const Timeline timeline(records.end_s, kBins);
  Json activity = {{"width_s", Rounded(timeline.width_s())},
                   {"bins", timeline.bins()},
                   {"trained", Json::object()},
                   {"waits", Json::array()},
                   {"faults", Json::object()}};
  const Span window = TrainSpan(records);
  AddTrainers(records, timeline, window, activity);
  AddWorkers(records, timeline, window, activity);
  AddIdle(records.rollout, "tool_share", "workers", "tools", timeline, window, activity);
  AddIdle(records.exchange, "idle_share", "exchange", "exchange", timeline, window, activity);
  return activity;
}

Json StageTimes(const RunRecords& records) {
  return {{"sft", SpanOrNull(StageSpan(records.sft))}, {"train", SpanOrNull(TrainSpan(records))}};
}

}  // namespace tandem
