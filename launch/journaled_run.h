// A run that has left a journal, and what there is to know before it is gone through.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "launch/config.h"
#include "proto/journal.pb.h"

namespace tandem {

struct JournaledRun {
  std::string folder;
  std::string journal;  // path
  std::string config;   // path
  uint64_t bytes = 0;   // of it
  proto::JournalOpening opening;
  double began_s = 0;
  LoadedConfig loaded;  // as it was run
};

// The last incarnation of the run, or the one asked for. kNotFound: no such run, or it has no journal.
// kFailedPrecondition: of another build or configuration, or of several ranks a policy, whose sums one process cannot
// repeat. kDataLoss: the journal is corrupt. Errors name the file.
absl::StatusOr<JournaledRun> OpenJournaledRun(const std::string& run, std::optional<uint32_t> incarnation);

// By policy: how far behind the newest version the oldest one is that a group, or its ticket, names when it arrives.
absl::StatusOr<std::map<std::string, uint32_t>> VersionsBehind(const std::string& journal);

}  // namespace tandem
