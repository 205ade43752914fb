#include "exchange/recovery.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "exchange/journal.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

double TimeOfDay() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

uint64_t SizeOf(const std::string& path) {
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

std::string MetricsOf(const ExchangeRun& run) { return run.run_folder + "/metrics.jsonl"; }
std::string EpisodesOf(const ExchangeRun& run) { return run.run_folder + "/episodes.jsonl"; }

// Lines from byte `from` on that begin with none of `but`; what comes after the last of them is cut off.
absl::StatusOr<uint64_t> WholeLines(const std::string& path, uint64_t from, const std::vector<std::string>& but) {
  if (!fs::exists(path)) return 0;
  TANDEM_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  uint64_t lines = 0;
  size_t at = std::min<size_t>(from, text.size());
  for (size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    const absl::string_view line = absl::string_view(text).substr(at, end - at);
    if (std::ranges::none_of(but, [&](const std::string& begin) { return absl::StartsWith(line, begin); })) ++lines;
  }
  std::error_code error;
  if (at < text.size()) fs::resize_file(path, at, error);
  if (error) return absl::UnavailableError(absl::StrCat(path, ": ", error.message()));
  return lines;
}

absl::Status CheckSame(const std::string& path, const std::string& what, const std::string& was,
                       const std::string& is) {
  if (was == is) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(path, ": was written by ", what, " ", was, ", this is ", is,
                                                    "; tandem train --resume goes on from a checkpoint"));
}

}  // namespace

absl::StatusOr<std::optional<Remains>> FindRemains(const ExchangeRun& run) {
  const std::string path = JournalPath(run.run_folder, run.incarnation);
  const absl::StatusOr<EventReader> reader = EventReader::Open(path);
  if (absl::IsNotFound(reader.status())) return std::nullopt;
  TANDEM_RETURN_IF_ERROR(reader.status());
  Remains remains;
  remains.opening = reader->opening().event.opening();
  remains.began_s = reader->opening().event.now_s();
  TANDEM_RETURN_IF_ERROR(CheckSame(path, "build", remains.opening.build(), run.build));
  TANDEM_RETURN_IF_ERROR(CheckSame(path, "configuration", remains.opening.config_digest(), run.config_digest));
  remains.clock_s = remains.began_s + std::max(0.0, TimeOfDay() - remains.opening.unix_s());
  TANDEM_ASSIGN_OR_RETURN(remains.metrics_lines, WholeLines(MetricsOf(run), remains.opening.metrics_bytes(),
                                                            {"{\"kind\":\"rollout\"", "{\"kind\":\"exchange\""}));
  TANDEM_ASSIGN_OR_RETURN(remains.episode_lines, WholeLines(EpisodesOf(run), remains.opening.episodes_bytes(), {}));
  return remains;
}

proto::JournalEvent OpeningOf(const ExchangeRun& run, double now) {
  proto::JournalEvent event;
  event.set_now_s(now);
  proto::JournalOpening& opening = *event.mutable_opening();
  opening.set_run(run.run_name);
  opening.set_incarnation(run.incarnation);
  opening.set_build(run.build);
  opening.set_config_digest(run.config_digest);
  opening.set_unix_s(TimeOfDay());
  opening.set_metrics_bytes(SizeOf(MetricsOf(run)));
  opening.set_episodes_bytes(SizeOf(EpisodesOf(run)));
  for (const auto& [policy, point] : run.resume) {
    proto::ResumedFrom& from = (*opening.mutable_resumed())[policy];
    from.set_purpose(point.purpose);
    from.set_step(point.step);
    from.set_incarnation(point.incarnation);
  }
  return event;
}

}  // namespace tandem
