// Random scenarios: the one generator of exchange_tests and tests/schedules.
#pragma once

#include <cstdint>
#include <string>

#include "tests/exchange/scenario.h"

namespace tandem {

enum class Kind {
  kOrdinary,     // slow and lost workers, repeated and reordered submissions, slow trainers, steps that are not taken
  kDeaths,       // the exchange and the trainers die, too
  kLag,          // lag injection
  kDisobedient,  // workers start with whatever weights they have: only the check at consumption guards the bound
};
inline constexpr int kKinds = 4;
const char* NameOf(Kind kind);

// Six of ten seeds are ordinary ones, two have deaths.
Kind KindOf(uint64_t seed);
Scenario RandomScenario(Kind kind, uint64_t seed);

// For scenarios that are not random. Every run trains on kLeastGroups groups at least.
inline constexpr uint32_t kLeastGroups = 200;
void SetBound(Scenario* scenario, const std::string& policy, uint32_t bound, proto::OnLimit on_limit);
void SetShape(Scenario* scenario, uint32_t groups_per_step, uint32_t group_size);

}  // namespace tandem
