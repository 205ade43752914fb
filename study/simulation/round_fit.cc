#include "study/simulation/round_fit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

namespace tandem {
namespace {

constexpr uint32_t kLeastTokens = 4;  // of a turn that times rounds
constexpr size_t kLeastTurns = 20;    // that have to agree on a median

// How many turns one worker had live, over time.
class LiveTurns {
 public:
  void Add(const RecordedTurn& turn) {
    changes_[turn.began_s] += 1;
    changes_[turn.ended_s] -= 1;
  }
  // Calls piece(seconds, live) for each time in which the number stays the same and is not 0; then Mean may be called.
  template <typename Piece>
  void Finish(double most, Piece piece) {
    double live = 0, turn_s = 0, before = 0;
    for (const auto& [time, change] : changes_) {
      const double decoded = std::min(live, most);
      if (live > 0) {
        turn_s += (time - before) * decoded;
        piece(time - before, decoded);
      }
      times_.push_back(time);
      sums_.push_back(turn_s);
      live += change;
      before = time;
    }
  }
  double Mean(double from, double to) const { return (SumAt(to) - SumAt(from)) / (to - from); }

 private:
  double SumAt(double time) const {
    const size_t i = std::ranges::upper_bound(times_, time) - times_.begin();
    if (i == 0) return 0;
    if (i == times_.size()) return sums_.back();
    return sums_[i - 1] + (sums_[i] - sums_[i - 1]) * (time - times_[i - 1]) / (times_[i] - times_[i - 1]);
  }

  std::map<double, int> changes_;
  std::vector<double> times_, sums_;  // turn seconds up to then
};

double Median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

// Intercept over slope of the line through (live, seconds), weighted; neither below 0.
double OwnCost(const std::map<int, std::pair<std::vector<double>, std::vector<double>>>& bins) {
  double w = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (auto [bin, samples] : bins) {
    const auto weight = static_cast<double>(samples.first.size());
    if (samples.first.size() < kLeastTurns) continue;
    const double live = Median(samples.first), seconds = Median(samples.second);
    const double relative = weight / (seconds * seconds);  // errors are in proportion
    w += relative;
    x += relative * live;
    y += relative * seconds;
    xx += relative * live * live;
    xy += relative * live * seconds;
  }
  const double spread = w * xx - x * x;
  if (spread <= 1e-9 * w * xx) return 0;
  const double slope = (w * xy - x * y) / spread;
  const double intercept = (y - slope * x) / w;
  if (slope <= 0) return x / w;  // what is live makes no difference: half of a round's cost is its own
  return std::max(0.0, intercept / slope);
}

}  // namespace

RoundFit FitRounds(const std::vector<RecordedGroup>& groups, double most_turns) {
  std::map<std::string, LiveTurns> workers;
  for (const RecordedGroup& group : groups) {
    for (const RecordedTurn& turn : group.turns) workers[group.worker].Add(turn);
  }
  std::map<double, double> live_s;  // seconds by live turns
  for (auto& [name, worker] : workers) {
    worker.Finish(most_turns, [&live_s](double seconds, double live) { live_s[live] += seconds; });
  }
  std::map<int, std::pair<std::vector<double>, std::vector<double>>> bins;  // live turns and seconds of rounds
  for (const RecordedGroup& group : groups) {
    for (const RecordedTurn& turn : group.turns) {
      if (turn.tokens < kLeastTokens || turn.ended_s <= turn.began_s) continue;
      const double live = workers.at(group.worker).Mean(turn.began_s, turn.ended_s);
      auto& [lives, seconds] = bins[static_cast<int>(2 * std::log2(std::max(live, 1.0)))];
      lives.push_back(live);
      seconds.push_back((turn.ended_s - turn.began_s) / turn.tokens);
    }
  }
  RoundFit fit;
  fit.own = OwnCost(bins);
  double rounds = 0, tokens = 0;  // in proportion
  for (const auto& [live, seconds] : live_s) {
    rounds += seconds / (fit.own + live);
    tokens += seconds * live / (fit.own + live);
  }
  fit.rounds_per_token = tokens > 0 ? rounds / tokens : 0;
  return fit;
}

}  // namespace tandem
