// From a scenario that fails to a small one that fails, too.
#pragma once

#include <functional>
#include <string>

#include "tests/exchange/scenario.h"

namespace tandem {

struct Shrunk {
  Scenario scenario;
  int tries = 0;
};

// Greedy: makes one thing simpler at a time (fewer workers, groups, episodes, policies; smaller bounds and delays; no
// faults of one sort) and keeps it if the schedule still fails with one of a few seeds, until nothing helps or `tries`
// schedules have been played. `fails` must hold for `scenario`; what it fails with may change on the way.
Shrunk Shrink(Scenario scenario, const std::function<bool(const Scenario&)>& fails, int tries = 1000);

// For people: what the schedule violates, the small schedule that it shrinks to, what that violates, and how to play it
// again. `scenario` must fail in a process of its own (play_apart.h).
std::string Explain(const Scenario& scenario);

}  // namespace tandem
