// What an exchange that was killed has left in the run's folder, so that another can go on with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "exchange/service.h"
#include "proto/journal.pb.h"

namespace tandem {

struct Remains {
  proto::JournalOpening opening;
  double began_s;          // run's clock
  double clock_s;          // run's clock now: it went on while nobody looked
  uint64_t metrics_lines;  // without those of kinds "rollout" and "exchange", which are measured by the clock
  uint64_t episode_lines;
};

// nullopt: this incarnation begins. Cuts half a line off the ends of metrics.jsonl and episodes.jsonl.
// kFailedPrecondition: the journal is of another build or configuration, and can only be resumed from. kDataLoss: it is
// corrupt. Errors name the file.
absl::StatusOr<std::optional<Remains>> FindRemains(const ExchangeRun& run);

// The first event of an incarnation that begins.
proto::JournalEvent OpeningOf(const ExchangeRun& run, double now);

}  // namespace tandem
