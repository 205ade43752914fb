// What a run folder holds, read into memory.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "study/json.h"

namespace tandem {

// Every record is a line as it stands in the file: an object with `kind` and `time_s` (episodes: `ticket`, `purpose`,
// `time_s`, `episode`), in the order of the file. Fields may be missing.
struct RunRecords {
  std::string name;                                 // of the folder
  std::string config;                               // config.yaml; empty when there is none
  std::vector<std::string> policies;                // planner first, then by name: colours stay the same
  std::map<std::string, std::vector<Json>> steps;   // kind "step", by policy; step numbers ascend
  std::map<std::string, std::vector<Json>> sft;     // kind "sft", by policy; step numbers ascend
  std::map<std::string, std::vector<Json>> ledger;  // by policy
  std::vector<Json> rollout, exchange, evaluations, overlap, episodes;
  uint64_t steps_redone = 0;            // steps that a resumed run took again; left out above
  std::vector<std::string> unreadable;  // "metrics.jsonl:17", at most ten of them
  uint64_t unreadable_total = 0;
  double end_s = 0;  // largest time_s of any record
};

// Reads the folder as WriteReport (study/report.h) promises, errors included.
absl::StatusOr<RunRecords> ReadRunRecords(const std::string& run_folder);

}  // namespace tandem
