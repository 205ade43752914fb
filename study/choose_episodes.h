// Which of the episodes that were kept for people the report shows.
#pragma once

#include <cstddef>
#include <vector>

#include "study/json.h"
#include "study/run_records.h"

namespace tandem {

// Up to `count` lines of episodes.jsonl, each with two keys more: "why" ("early, wrong") and "right" (true, false, or
// null when nothing tells). In this order: episodes with a turn that two or more versions wrote; early and late ones
// of the training, right and wrong of each; episodes of the final evaluation. What one kind lacks the others fill.
// The choice depends on the lines alone.
Json ChooseEpisodes(const RunRecords& records, size_t count);

}  // namespace tandem
