#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "launch/commands.h"
#include "study/staleness_limit.h"
#include "study/virtual_run.h"

namespace tandem {
namespace {

struct Simulated {
  uint32_t bound;    // the smallest of the policies
  double limit;      // groups per second that no scheduler can beat under the bounds; 0: not all policies are paced
  double unbounded;  // ... that are reached without bounds
  VirtualRun run;
};

absl::StatusOr<std::vector<uint32_t>> ReadBounds(const std::string& text) {
  std::vector<uint32_t> bounds;
  for (const auto& word : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    uint32_t bound = 0;
    if (!absl::SimpleAtoi(word, &bound) || bound > 1024) {
      return absl::InvalidArgumentError(absl::StrCat("--bounds: expected whole numbers from 0 to 1024, found ", text));
    }
    bounds.push_back(bound);
  }
  return bounds;
}

absl::Status CheckFlags(const SimulateFlags& flags) {
  const auto bad = [](const char* flag, const char* expected, double found) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": expected ", expected, ", found ", found));
  };
  if (flags.workers < 1 || flags.workers > 100000) return bad("--workers", "1 to 100000", flags.workers);
  if (!(flags.median_s > 0 && flags.median_s <= 1e6)) return bad("--median", "seconds above 0", flags.median_s);
  if (!(flags.sigma >= 0 && flags.sigma <= 10)) return bad("--sigma", "0 to 10", flags.sigma);
  if (!(flags.cap >= 1 && flags.cap <= 1e6)) return bad("--cap", "1 or more", flags.cap);
  if (!(flags.step_s >= 0 && flags.step_s <= 1e6)) return bad("--step", "seconds, 0 or more", flags.step_s);
  if (!(flags.publish_s >= 0 && flags.publish_s <= 1e6)) return bad("--publish", "seconds, 0 or more", flags.publish_s);
  return absl::OkStatus();
}

VirtualRunOptions OptionsOf(const SimulateFlags& flags, const proto::Config& config, std::optional<uint32_t> bound) {
  VirtualRunOptions options;
  options.config = config;
  options.workers = flags.workers;
  options.group_s = LogNormalDuration(flags.median_s, flags.sigma, flags.cap);
  options.publish_s = flags.publish_s;
  for (auto& [name, policy] : *options.config.mutable_policies()) {
    options.step_s[name] = flags.step_s;
    if (bound) policy.mutable_staleness()->set_bound(*bound);
  }
  return options;
}

absl::StatusOr<Simulated> SimulateOne(const SimulateFlags& flags, const proto::Config& config,
                                      std::optional<uint32_t> bound, double unbounded) {
  const VirtualRunOptions options = OptionsOf(flags, config, bound);
  Simulated simulated{UINT32_MAX, 0, unbounded, {}};
  bool paced = true;
  for (const auto& [name, policy] : options.config.policies()) {
    simulated.bound = std::min(simulated.bound, policy.staleness().bound());
    paced &= policy.staleness().on_limit() == proto::PACE;
  }
  const uint32_t groups = config.train().groups_per_step();
  if (paced) {
    simulated.limit = StalenessLimit({.bound = simulated.bound,
                                      .groups_per_step = groups,
                                      .longest_s = MeanLongest(options.group_s, groups, config.seed()),
                                      .step_s = flags.step_s,
                                      .publish_s = flags.publish_s});
  }
  auto run = RunVirtually(options);
  if (!run.ok()) return run.status();
  simulated.run = *std::move(run);
  return simulated;
}

// What the others wait for, most of the time.
std::string LimitedBy(const Simulated& simulated) {
  std::string gate, trainer;
  double held_up = 0.5, training = 0.9;
  for (const auto& [policy, lane] : simulated.run.lanes) {
    if (lane.training_share > training) trainer = absl::StrCat("training of ", policy);
    training = std::max(training, lane.training_share);
    if (lane.held_up_share > held_up) gate = absl::StrCat("the bound of ", policy);
    held_up = std::max(held_up, lane.held_up_share);
  }
  return !trainer.empty() ? trainer : !gate.empty() ? gate : "generation";
}

std::string AgesText(const VirtualLane& lane) {
  std::vector<std::string> shares;
  for (const double share : lane.age_share) shares.push_back(absl::StrFormat("%.0f", 100 * share));
  return absl::StrCat(absl::StrJoin(shares, " "), " %");
}

std::string LeftOutText(const VirtualLane& lane) {
  std::vector<std::string> texts;
  for (const auto& [reason, groups] : lane.rejected) texts.push_back(absl::StrCat(groups, " groups ", reason));
  if (lane.over_bound_share > 0)
    texts.push_back(absl::StrFormat("%.1f %% of tokens masked", 100 * lane.over_bound_share));
  return texts.empty() ? "" : absl::StrCat("; left out: ", absl::StrJoin(texts, ", "));
}

void Print(const Simulated& s) {
  std::printf("bound %u: %.3f groups/s, %.0f %% of those without a bound", s.bound, s.run.groups_per_s,
              100 * s.run.groups_per_s / s.unbounded);
  if (s.limit > 0) std::printf("; no scheduler could reach more than %.3f", std::min(s.limit, s.unbounded));
  std::printf("\n");
  std::printf("  %.1f groups in play; limited by %s\n", s.run.in_play, LimitedBy(s).c_str());
  for (const auto& [policy, lane] : s.run.lanes) {
    std::printf("  %-10s training %.0f %% of the time, %.1f groups buffered; tokens of age 0, 1, ...: %s%s\n",
                policy.c_str(), 100 * lane.training_share, lane.buffered, AgesText(lane).c_str(),
                LeftOutText(lane).c_str());
  }
}

void PrintJson(const Simulated& s) {
  nlohmann::ordered_json json;
  json["bound"] = s.bound;
  json["groups_per_s"] = s.run.groups_per_s;
  json["limit_groups_per_s"] = s.limit;
  json["unbounded_groups_per_s"] = s.unbounded;
  json["in_play"] = s.run.in_play;
  json["limited_by"] = LimitedBy(s);
  for (const auto& [policy, lane] : s.run.lanes) {
    auto& of = json["policies"][policy];
    of["training_share"] = lane.training_share;
    of["held_up_share"] = lane.held_up_share;
    of["buffered"] = lane.buffered;
    of["age_share"] = lane.age_share;
    of["masked_share"] = lane.over_bound_share;
    of["rejected"] = lane.rejected;
  }
  std::printf("%s\n", json.dump().c_str());
}

}  // namespace

int Simulate(SimulateFlags flags) {
  if (!flags.seed.empty()) flags.source.seed = flags.seed;
  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(flags.source);
  if (!loaded.ok()) return BadInput(loaded.status());
  if (const absl::Status status = CheckFlags(flags); !status.ok()) return BadInput(status);
  const absl::StatusOr<std::vector<uint32_t>> bounds = ReadBounds(flags.bounds);
  if (!bounds.ok()) return BadInput(bounds.status());
  proto::Config free = loaded->config;
  free.clear_lag();
  for (auto& [name, policy] : *free.mutable_policies()) policy.mutable_staleness()->set_on_limit(proto::PACE);
  const auto unbounded = RunVirtually(OptionsOf(flags, free, 1024));
  if (!unbounded.ok()) return BadInput(unbounded.status());
  std::vector<std::optional<uint32_t>> wanted(bounds->begin(), bounds->end());
  if (wanted.empty()) wanted.push_back(std::nullopt);
  for (const std::optional<uint32_t> bound : wanted) {
    const auto simulated = SimulateOne(flags, loaded->config, bound, unbounded->groups_per_s);
    if (!simulated.ok()) return BadInput(simulated.status());
    flags.json ? PrintJson(*simulated) : Print(*simulated);
  }
  return kExitFine;
}

}  // namespace tandem
