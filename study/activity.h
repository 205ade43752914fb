// Who did what when: the part of the page's data that lies along the run's time.
#pragma once

#include "study/json.h"
#include "study/run_records.h"

namespace tandem {

// {"width_s", "bins", "tokens_generated": total,
//  "generated": [tokens/s of all workers], "trained": {policy: [tokens/s]},
//  "waits": [{"name", "side": "trainer" | "worker" | "tools" | "exchange", "policy"?, "share": [0..1 or null],
//  "mean"}], "faults": {kind: [count]}, "finished": [episodes], "masked_tokens": [count]}.
// "mean" is over the reinforcement part, by time. More than six workers are one row, their mean.
Json Activity(const RunRecords& records);

// {"sft": [from_s, to_s] or null, "train": [from_s, to_s] or null}: the stages, as the trainers' steps tell them.
Json StageTimes(const RunRecords& records);

}  // namespace tandem
