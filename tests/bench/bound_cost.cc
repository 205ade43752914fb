// What a bound on staleness costs in virtual time, for three ways to keep it: what `pace` reaches, what `mask` leaves
// of the tokens, and what `rerun` plays again or gives up.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include "base/status.h"
#include "study/simulation/staleness_limit.h"
#include "study/simulation/virtual_run.h"

namespace tandem {
namespace {

constexpr uint32_t kGroups = 64;  // of a batch; as many are played at the same time

// Durations of groups are lognormal with a median of 1, cut off at `cap`; steps and publication take always the same.
struct Setting {
  double sigma, cap, step_s, publish_s;
};
constexpr Setting kSettings[] = {{1, 8, 0, 0},   {1, 8, 0.5, 0},  {1, 8, 2, 0.1},    {0.5, 3, 0, 0}, {0.5, 3, 0.5, 0.1},
                                 {0.5, 3, 2, 0}, {1.5, 16, 0, 0}, {1.5, 16, 1, 0.2}, {1.5, 16, 4, 0}};
constexpr double kLengths[] = {1, 2, 4, 1e9};  // upper ends of the classes of lengths, in medians

VirtualRun Run(const Setting& setting, uint32_t bound, proto::OnLimit on_limit) {
  VirtualRunOptions options;
  proto::StalenessConfig* staleness = (*options.config.mutable_policies())["solo"].mutable_staleness();
  staleness->set_bound(bound);
  staleness->set_on_limit(on_limit);
  options.config.mutable_train()->set_groups_per_step(kGroups);
  options.config.mutable_train()->set_steps(60 + 10 * std::min(bound, 20u));
  options.config.mutable_rollout()->set_groups_in_play(kGroups / 4);
  options.workers = 4;
  options.group_s = LogNormalDuration(1, setting.sigma, setting.cap);
  options.step_s["solo"] = setting.step_s;
  options.publish_s = setting.publish_s;
  const absl::StatusOr<VirtualRun> run = RunVirtually(options);
  TANDEM_CHECK(run.ok());
  return *run;
}

std::vector<double> Of(const VirtualRun& run, const std::string& reason) {
  const Rejections& rejected = run.lanes.at("solo").rejected;
  const auto found = rejected.find(reason);
  return found == rejected.end() ? std::vector<double>() : found->second;
}

// How the groups are spread over the classes of lengths, in percent.
std::string Spread(const std::vector<double>& lengths_s) {
  if (lengths_s.empty()) return "-";
  std::string text;
  double from = 0;
  for (const double to : kLengths) {
    const auto within = std::ranges::count_if(lengths_s, [=](double s) { return s >= from && s < to; });
    text += (text.empty() ? "" : " ") +
            std::to_string(std::lround(100.0 * static_cast<double>(within) / static_cast<double>(lengths_s.size())));
    from = to;
  }
  return text;
}

// What mask and rerun leave, as shares of the groups or tokens per second without a bound.
void PrintBound(const Setting& s, uint32_t bound, double unbounded) {
  const double limit = std::min(
      unbounded, StalenessLimit({bound, kGroups, /*longest_s=*/s.cap, /*step_s=*/s.step_s, /*publish_s=*/s.publish_s}));
  const VirtualRun pace = Run(s, bound, proto::PACE), mask = Run(s, bound, proto::MASK);
  const VirtualRun rerun = Run(s, bound, proto::RERUN);
  const double masked = mask.lanes.at("solo").over_bound_share;
  const std::vector<double> again_s = Of(rerun, "rerun"), given_up_s = Of(rerun, "given_up");
  const double twice_s = std::accumulate(again_s.begin(), again_s.end(), 0.0);
  std::printf("| %g, %g, %g, %g | %u | %.2f (%.2f) | %.2f | %.1f %% | %.2f | %.1f %% | %.1f %% | %s |\n", s.sigma,
              s.cap, s.step_s, s.publish_s, bound, pace.groups_per_s / unbounded, pace.groups_per_s / limit,
              (1 - masked) * mask.groups_per_s / unbounded, 100 * masked, rerun.groups_per_s / unbounded,
              100 * twice_s / rerun.played_s,
              100 * static_cast<double>(given_up_s.size()) / static_cast<double>(rerun.issued),
              Spread(given_up_s).c_str());
}

}  // namespace
}  // namespace tandem

int main() {
  std::printf(
      "Shares of the throughput without a bound; pace in brackets: of what no scheduler can beat. Lengths of groups "
      "that\n"
      "were given up after two tries again: in percent, under 1, 2, 4 and more medians.\n\n"
      "| sigma, cap, step, publication | bound | pace | mask: tokens trained on | masked | rerun | of its time played "
      "again | given up | their lengths |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const tandem::Setting& setting : tandem::kSettings) {
    const double unbounded = tandem::Run(setting, 1000, tandem::proto::PACE).groups_per_s;
    for (const uint32_t bound : {0u, 1u, 2u, 4u, 8u}) tandem::PrintBound(setting, bound, unbounded);
  }
}
