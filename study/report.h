// The report of a run: one page that says what was learned, how stale it was learned, and who waited for whom.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace tandem {

// Writes `run_folder`/report.html, atomically: one self-contained file that loads nothing from anywhere. Reads
// metrics.jsonl (needed), episodes.jsonl and config.yaml (shown when they are there). A run that is still going on, or
// was interrupted, gives the report of what it has so far: a last line that is cut off is left out, lines that cannot
// be read are left out and named on the page, and kinds that are not known are ignored. kNotFound when there is no
// metrics.jsonl, kInvalidArgument when not one of its lines can be read; both name the path.
absl::Status WriteReport(const std::string& run_folder);

}  // namespace tandem
