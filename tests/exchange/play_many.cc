#include "tests/exchange/play_many.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include "base/status.h"
#include "tests/exchange/play_apart.h"
#include "tests/exchange/team.h"

namespace tandem {
namespace {

using std::chrono::steady_clock;

// What a player says of a schedule that kept every promise. Written at once, so the pipe keeps it whole.
struct Report {
  uint32_t groups;
  Sightings seen;
};

// One process. It plays every jobs-th seed, so that the number of its reports says which it is at.
struct Player {
  pid_t pid = 0;
  int reports = -1;
  uint64_t next_seed = 0;
};

[[noreturn]] void PlayShare(const Campaign& campaign, uint64_t seed, int reports) {
  for (; seed < campaign.first + campaign.count; seed += campaign.jobs) {
    LimitCpu();
    const Played played = Play(campaign.Of(seed));
    if (!played.violation.empty()) _exit(1);
    const Report report = {static_cast<uint32_t>(played.groups), played.seen};
    if (write(reports, &report, sizeof report) != sizeof report) _exit(1);
  }
  _exit(0);
}

Player Start(const Campaign& campaign, int job) {
  int ends[2];
  TANDEM_CHECK(pipe(ends) == 0);
  Player player = {fork(), ends[0], campaign.first + job};
  TANDEM_CHECK(player.pid >= 0);
  if (player.pid == 0) {
    close(ends[0]);
    PlayShare(campaign, player.next_seed, ends[1]);
  }
  close(ends[1]);
  return player;
}

}  // namespace

uint32_t Tally::MedianGroups() const {
  if (groups.empty()) return 0;
  std::vector<uint32_t> sorted = groups;
  std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
  return sorted[sorted.size() / 2];
}

std::optional<uint64_t> PlayMany(const Campaign& campaign, Tally* tally,
                                 const std::function<void(const Tally&)>& progress) {
  std::vector<Player> players;
  for (int job = 0; job < campaign.jobs; ++job) players.push_back(Start(campaign, job));
  std::optional<uint64_t> failed;
  auto said = steady_clock::now();
  for (size_t playing = players.size(); playing > 0 && !failed;) {
    std::vector<pollfd> waits;
    for (const Player& player : players) waits.push_back({player.reports, POLLIN, 0});
    poll(waits.data(), waits.size(), 1000);
    for (size_t i = 0; i < waits.size() && !failed; ++i) {
      if (waits[i].revents == 0) continue;
      Report report;
      if (read(players[i].reports, &report, sizeof report) == sizeof report) {
        tally->groups.push_back(report.groups);
        for (size_t sight = 0; sight < kSights; ++sight) tally->seen[sight] += report.seen[sight];
        players[i].next_seed += campaign.jobs;
        continue;
      }
      --playing;
      close(std::exchange(players[i].reports, -1));
      if (players[i].next_seed < campaign.first + campaign.count) failed = players[i].next_seed;
    }
    if (progress && steady_clock::now() - said >= std::chrono::seconds(10)) {
      said = steady_clock::now();
      progress(*tally);
    }
  }
  for (const Player& player : players) {
    if (failed) kill(player.pid, SIGKILL);
    if (player.reports >= 0) close(player.reports);
    waitpid(player.pid, nullptr, 0);
  }
  return failed;
}

}  // namespace tandem
