// Everything that the report's page draws, as one JSON object.
#pragma once

#include "study/json.h"
#include "study/run_records.h"

namespace tandem {

// {"run", "wall_s", "policies": [{"name", "steps", "sft", "last_step", "histogram", "bound", "episodes",
//   "tokens_trained", "ledger", "queues"}], "stages", "activity", "evaluations", "overlap", "episodes", "config",
//   "steps_redone", "unreadable", "unreadable_total"}. Curves hold at most 500 points however long the run was.
Json ReportData(const RunRecords& records);

}  // namespace tandem
