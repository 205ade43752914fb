#include "study/run_records.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace tandem {
namespace {

struct Lines {
  std::vector<Json> objects;
  size_t bad = 0;
  size_t cut_off = 0;  // a last line without its end, that cannot be read: the writer was interrupted
};

Lines ReadLines(const std::string& file, std::string_view bytes, RunRecords& records) {
  Lines lines;
  for (size_t begin = 0, number = 1; begin < bytes.size(); ++number) {
    const size_t end = std::min(bytes.find('\n', begin), bytes.size());
    const std::string_view line = bytes.substr(begin, end - begin);
    begin = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (object.is_object()) {
      lines.objects.push_back(std::move(object));
    } else if (end == bytes.size()) {
      ++lines.cut_off;
    } else {
      ++lines.bad;
      ++records.unreadable_total;
      if (records.unreadable.size() < 10) records.unreadable.push_back(absl::StrCat(file, ":", number));
    }
  }
  return lines;
}

// A run that was resumed from a checkpoint takes the steps after it again: only the later attempt led anywhere.
uint64_t AppendStep(Json record, std::vector<Json>& steps) {
  uint64_t redone = 0;
  const double step = Number(record, "step");
  for (; !steps.empty() && Number(steps.back(), "step") >= step; ++redone) steps.pop_back();
  steps.push_back(std::move(record));
  return redone;
}

void Sort(Json record, RunRecords& records) {
  const std::string kind = Text(record, "kind");
  const double time = Number(record, "time_s");
  if (std::isfinite(time)) records.end_s = std::max(records.end_s, time);
  const std::string policy = Text(record, "policy");
  if (kind == "step") {
    records.steps_redone += AppendStep(std::move(record), records.steps[policy]);
  } else if (kind == "sft") {
    records.steps_redone += AppendStep(std::move(record), records.sft[policy]);
  } else if (kind == "ledger") {
    records.ledger[policy].push_back(std::move(record));
  } else if (kind == "rollout") {
    records.rollout.push_back(std::move(record));
  } else if (kind == "exchange") {
    records.exchange.push_back(std::move(record));
  } else if (kind == "eval") {
    records.evaluations.push_back(std::move(record));
  } else if (kind == "overlap") {
    records.overlap.push_back(std::move(record));
  }
}

std::vector<std::string> PolicyNames(const RunRecords& records) {
  std::set<std::string> names;
  for (const auto* by_policy : {&records.steps, &records.sft, &records.ledger}) {
    for (const auto& [policy, unused] : *by_policy) names.insert(policy);
  }
  std::vector<std::string> sorted(names.begin(), names.end());
  std::stable_partition(sorted.begin(), sorted.end(), [](const std::string& name) { return name == "planner"; });
  return sorted;
}

// The bytes of a file that need not be there.
absl::StatusOr<std::string> ReadOptional(const std::string& path) {
  absl::StatusOr<std::string> bytes = ReadFile(path);
  if (absl::IsNotFound(bytes.status())) return std::string();
  return bytes;
}

}  // namespace

absl::StatusOr<RunRecords> ReadRunRecords(const std::string& run_folder) {
  RunRecords records;
  const std::filesystem::path folder = std::filesystem::path(run_folder).lexically_normal();
  records.name = (folder.has_filename() ? folder : folder.parent_path()).filename().string();

  const std::string path = (folder / "metrics.jsonl").string();
  absl::StatusOr<std::string> metrics = ReadFile(path);
  if (absl::IsNotFound(metrics.status())) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file; a run folder has one"));
  }
  TANDEM_RETURN_IF_ERROR(metrics.status());
  Lines lines = ReadLines("metrics.jsonl", *metrics, records);
  if (lines.objects.empty() && lines.bad > 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":1: expected JSON objects, one a line; none can be read"));
  }
  for (Json& object : lines.objects) Sort(std::move(object), records);
  records.policies = PolicyNames(records);

  TANDEM_ASSIGN_OR_RETURN(const std::string episodes, ReadOptional((folder / "episodes.jsonl").string()));
  records.episodes = ReadLines("episodes.jsonl", episodes, records).objects;
  TANDEM_ASSIGN_OR_RETURN(records.config, ReadOptional((folder / "config.yaml").string()));
  return records;
}

}  // namespace tandem
