// Random schedules of the exchange in virtual time, as many as one likes; or one of them again.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/exchange/play_many.h"
#include "tests/exchange/shrink.h"
#include "tests/exchange/team.h"

namespace tandem {
namespace {

constexpr char kUsage[] =
    "schedules [--count N] [--first SEED] [--jobs N]   plays the schedules of N seeds; a failing one is shrunk\n"
    "schedules --scenario 'TEXT'                       plays one schedule, in this process\n"
    "Exit status 1: a promise was not kept.\n";

struct Flags {
  Campaign campaign = {.count = 1000};
  std::string scenario;
};

bool Parse(int argc, char** argv, Flags* flags) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    bool good = false;
    if (name == "--count") good = absl::SimpleAtoi(value, &flags->campaign.count);
    if (name == "--first") good = absl::SimpleAtoi(value, &flags->campaign.first);
    if (name == "--jobs") good = absl::SimpleAtoi(value, &flags->campaign.jobs) && flags->campaign.jobs > 0;
    if (name == "--scenario") good = !value.empty();
    if (name == "--scenario") flags->scenario = value;
    if (!good) return false;
  }
  return argc % 2 == 1;
}

int PlayOne(const std::string& text) {
  const absl::StatusOr<Scenario> scenario = ScenarioOf(text);
  if (!scenario.ok()) {
    std::fprintf(stderr, "%s\n", std::string(scenario.status().message()).c_str());
    return 2;
  }
  const Played played = Play(*scenario);
  const std::string end = played.violation.empty() ? "every promise was kept" : "violated: " + played.violation;
  std::printf("%llu groups; %s\n", static_cast<unsigned long long>(played.groups), end.c_str());
  return played.violation.empty() ? 0 : 1;
}

void Print(const Campaign& campaign, const Tally& tally) {
  uint64_t kinds[kKinds] = {};
  for (uint64_t seed = campaign.first; seed < campaign.first + campaign.count; ++seed) {
    ++kinds[static_cast<int>(KindOf(seed))];
  }
  for (int kind = 0; kind < kKinds; ++kind) {
    std::printf("%12llu schedules: %s\n", static_cast<unsigned long long>(kinds[kind]),
                NameOf(static_cast<Kind>(kind)));
  }
  for (size_t sight = 0; sight < kSights; ++sight) {
    std::printf("%12llu times: %s\n", static_cast<unsigned long long>(tally.seen[sight]),
                std::string(kSightNames[sight]).c_str());
  }
}

int PlayCampaign(const Campaign& campaign) {
  const auto began = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); };
  Tally tally;
  const std::optional<uint64_t> failed = PlayMany(campaign, &tally, [&](const Tally& so_far) {
    std::printf("%.0f s: %zu of %llu schedules\n", seconds(), so_far.groups.size(),
                static_cast<unsigned long long>(campaign.count));
    std::fflush(stdout);
  });
  if (failed) {
    std::printf("after %zu schedules that kept every promise:\n%s", tally.groups.size(),
                Explain(campaign.Of(*failed)).c_str());
    return 1;
  }
  Print(campaign, tally);
  std::printf("%zu schedules of %u groups each (median), seeds from %llu on, in %.0f s: every promise was kept\n",
              tally.groups.size(), tally.MedianGroups(), static_cast<unsigned long long>(campaign.first), seconds());
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  tandem::Flags flags;
  if (!tandem::Parse(argc, argv, &flags)) {
    std::fputs(tandem::kUsage, stderr);
    return 2;
  }
  return flags.scenario.empty() ? tandem::PlayCampaign(flags.campaign) : tandem::PlayOne(flags.scenario);
}
