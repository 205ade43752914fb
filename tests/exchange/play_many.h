// Many random schedules, in several processes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "tests/exchange/random_scenario.h"
#include "tests/exchange/sightings.h"

namespace tandem {

struct Campaign {
  uint64_t first = 1, count = 1;  // seeds
  int jobs = 1;                   // processes
  std::optional<Kind> kind = {};  // of all; else each has the kind of its seed
  Scenario Of(uint64_t seed) const { return RandomScenario(kind.value_or(KindOf(seed)), seed); }
};

// Of the schedules that kept every promise.
struct Tally {
  std::vector<uint32_t> groups;  // of each
  Sightings seen = {};
  uint32_t MedianGroups() const;
};

// Plays them until one violates something or never ends: its seed. `progress` is called about once in ten seconds. Call
// only while there is one thread.
std::optional<uint64_t> PlayMany(const Campaign& campaign, Tally* tally,
                                 const std::function<void(const Tally&)>& progress = {});

}  // namespace tandem
