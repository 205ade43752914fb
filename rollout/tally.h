// Counts what a worker reports.
#pragma once

#include "proto/message.pb.h"

namespace tandem {

// Adds a finished group to the counts of an interval: episodes, turns of mixed versions, faults by kind, masked tokens.
// Faults of the warm start, which are made on purpose, are not counted.
void CountGroup(const proto::Group& group, proto::RolloutMetrics* metrics);

}  // namespace tandem
