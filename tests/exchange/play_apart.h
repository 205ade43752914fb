// A schedule in a process of its own, so that a failed check ("bug: ...", which aborts) and a loop without end are
// failures with a seed like any other.
#pragma once

#include <string>

#include "tests/exchange/scenario.h"

namespace tandem {

// The CPU time from now on after which this process is stopped: no schedule takes a tenth of it.
void LimitCpu();

// What the schedule violates, or "". Call only while there is one thread.
std::string PlayApart(const Scenario& scenario);

}  // namespace tandem
