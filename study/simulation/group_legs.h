// What a recorded group asked of its worker, and how long it waited for tools.
#pragma once

#include "study/simulation/recorded_groups.h"
#include "study/simulation/workload.h"

namespace tandem {

// A leg is a time in which at least one of its turns was decoded, in rounds as those turns counted them, and the time
// after it in which none was: with `tools` they are what was waited for, without it is put down to the engine.
GroupWork WorkOf(const RecordedGroup& group, bool tools);

}  // namespace tandem
