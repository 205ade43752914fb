// The groups of a run as its journal has them: when their turns were played, and how long they are.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "study/simulation/workload.h"

namespace tandem {

struct RecordedTurn {
  double began_s, ended_s;  // of its decoding, on the run's clock: without the wait for a place in the engine
  uint32_t tokens;          // as many rounds of its worker's
};

struct RecordedGroup {
  std::string worker = {};
  double issued_s = 0, arrived_s = 0;
  std::vector<RecordedTurn> turns = {};  // those with tokens, by began_s
};

struct RecordedGroups {
  double opened_s = 0;                              // when the journal begins
  std::vector<RecordedGroup> groups = {};           // of the reinforcement part, in the order of their tickets' issue
  std::map<std::string, uint64_t> tokens = {};      // in them, by policy
  std::map<std::string, WrittenSpan> written = {};  // by policy: mean over the groups that it wrote in
};

// Reads a journal (exchange/journal.h). Errors as EventReader's. The first attempt of a group counts.
absl::StatusOr<RecordedGroups> ReadRecordedGroups(const std::string& journal);

}  // namespace tandem
