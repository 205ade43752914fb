#include "study/choose_episodes.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <optional>
#include <string>

namespace tandem {
namespace {

enum Part { kEarly, kMiddle, kLate, kBefore, kFinal, kStages };
constexpr std::array<const char*, kStages> kStageNames = {"early in training", "mid-training", "late in training",
                                                          "evaluation after the warm start", "final evaluation"};

struct Candidate {
  size_t line;
  Part stage;
  bool mixed;
  std::optional<bool> right;
  bool taken = false;
};

bool IsReadable(const Json& episode) {
  const Json& turns = Child(episode, "turns");
  return episode.is_object() && !turns.empty() &&
         std::all_of(turns.begin(), turns.end(), [](const Json& turn) { return turn.is_object(); });
}

bool IsMixed(const Json& episode) {
  const Json& turns = Child(episode, "turns");
  return std::any_of(turns.begin(), turns.end(),
                     [](const Json& turn) { return Child(turn, "version_runs").size() > 1; });
}

std::optional<bool> IsRight(const Json& episode) {
  for (const double value : {Named(episode, "measures", "success"), Named(episode, "rewards", "team")}) {
    if (std::isfinite(value)) return value > 0.5;
  }
  if (episode.contains("reference")) return Text(episode, "answer") == Text(episode, "reference");
  return std::nullopt;
}

struct TrainingTimes {
  double first = 0, last = 0;  // of training episodes
  // Of the trainers; evaluations before it follow the warm start. Without a step all do.
  double first_step = std::numeric_limits<double>::infinity();
};

TrainingTimes FindTimes(const RunRecords& records) {
  TrainingTimes times;
  bool any = false;
  for (const Json& line : records.episodes) {
    if (Text(line, "purpose") != "train") continue;
    const double time = Number(line, "time_s");
    times.first = any ? std::min(times.first, time) : time;
    times.last = any ? std::max(times.last, time) : time;
    any = true;
  }
  for (const auto& [policy, steps] : records.steps) {
    if (!steps.empty()) times.first_step = std::min(times.first_step, Number(steps.front(), "time_s"));
  }
  return times;
}

Part StageOf(const Json& line, const TrainingTimes& times) {
  const double time = Number(line, "time_s");
  if (Text(line, "purpose") != "train") return time < times.first_step ? kBefore : kFinal;
  const double share = times.last > times.first ? (time - times.first) / (times.last - times.first) : 0;
  return share < 0.3 ? kEarly : share > 0.7 ? kLate : kMiddle;
}

class Chooser {
 public:
  Chooser(const RunRecords& records, size_t count) : records_(records), count_(count) {
    const TrainingTimes times = FindTimes(records);
    for (size_t i = 0; i < records.episodes.size(); ++i) {
      const Json& episode = Child(records.episodes[i], "episode");
      if (!IsReadable(episode)) continue;
      candidates_.push_back({i, StageOf(records.episodes[i], times), IsMixed(episode), IsRight(episode)});
    }
  }

  // Takes up to `most` candidates that `fits` accepts, spread over the file: the first, the last, and between.
  template <typename Fits>
  void Take(size_t most, const std::string& why, Fits fits) {
    std::vector<Candidate*> fitting;
    for (Candidate& candidate : candidates_) {
      if (!candidate.taken && fits(candidate)) fitting.push_back(&candidate);
    }
    const size_t n = std::min({most, fitting.size(), count_ - chosen_.size()});
    for (size_t i = 0; i < n; ++i) {
      Candidate& candidate = *fitting[n == 1 ? 0 : i * (fitting.size() - 1) / (n - 1)];
      candidate.taken = true;
      Json line = records_.episodes[candidate.line];
      line["why"] = why.empty() ? kStageNames[candidate.stage] : why + ", " + kStageNames[candidate.stage];
      line["right"] = candidate.right.has_value() ? Json(*candidate.right) : Json();
      chosen_.push_back(std::move(line));
    }
  }

  Json Chosen() { return std::move(chosen_); }

 private:
  const RunRecords& records_;
  size_t count_;
  std::vector<Candidate> candidates_;
  Json chosen_ = Json::array();
};

}  // namespace

Json ChooseEpisodes(const RunRecords& records, size_t count) {
  Chooser chooser(records, count);
  chooser.Take(3, "written by two versions", [](const Candidate& c) { return c.mixed && c.stage <= kLate; });
  for (const Part stage : {kEarly, kLate, kFinal}) {
    for (const bool right : {false, true}) {
      const size_t most = stage == kFinal && right ? 2 : 1;
      chooser.Take(most, "", [&](const Candidate& c) { return c.stage == stage && c.right == right; });
    }
  }
  chooser.Take(count, "", [](const Candidate&) { return true; });
  return chooser.Chosen();
}

}  // namespace tandem
