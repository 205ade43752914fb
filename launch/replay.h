// Repeats a run from its journal, on the CPU and in one process: every token that was generated, every step that was
// taken, in the order in which they happened, each compared bit for bit with what the journal says.
//
// What is repeated follows from what is recorded: who wrote each row of a turn, which groups each step consumed, in
// which order things arrived. Nothing depends on time, so the repetition is exact for the same build, instruction set
// and thread counts.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

struct ReplayRequest {
  std::string run;                      // its folder
  std::optional<uint32_t> incarnation;  // the last one by default
};

struct Replayed {
  uint64_t events = 0, turns = 0, tokens = 0, steps = 0, versions = 0;
  double done = 0;  // share of the journal
};

// Blocks until the end; `progress` is called after every event. Writes nothing. kInvalidArgument, kNotFound,
// kFailedPrecondition before anything is repeated: no such run, another build or configuration, ranks or devices that
// one process on the CPU cannot repeat. kDataLoss: the journal is corrupt; or what is repeated differs, and then the
// message begins with "different: " and names the first token, step or version.
absl::StatusOr<Replayed> Replay(const ReplayRequest& request, const std::function<void(const Replayed&)>& progress);

}  // namespace tandem
