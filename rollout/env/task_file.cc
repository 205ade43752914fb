#include "rollout/env/task_file.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <optional>
#include <utility>

#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status.h"
#include "rollout/env/split.h"

namespace tandem {
namespace {

using Object = google::protobuf::Struct;

absl::StatusOr<Object> ParseLine(const std::string& line) {
  Object object;
  const auto parsed = google::protobuf::util::JsonStringToMessage(line, &object);
  if (!parsed.ok()) return absl::InvalidArgumentError("not a JSON object");
  return object;
}

absl::StatusOr<std::string> Text(const Object& object, const std::string& key, std::string_view alphabet) {
  const auto found = object.fields().find(key);
  if (found == object.fields().end()) return absl::InvalidArgumentError(absl::StrCat("key ", key, " is missing"));
  if (found->second.kind_case() != google::protobuf::Value::kStringValue) {
    return absl::InvalidArgumentError(absl::StrCat(key, ": expected text in quotes"));
  }
  const std::string& text = found->second.string_value();
  if (text.empty()) return absl::InvalidArgumentError(absl::StrCat(key, ": expected text, found none"));
  const size_t stranger = alphabet.empty() ? std::string::npos : text.find_first_not_of(alphabet);
  if (stranger != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(key, ": character ", stranger + 1, " of \"", text,
                                                   "\" is not in the alphabet ", std::string(alphabet)));
  }
  return text;
}

// Nothing: the task is left out.
absl::StatusOr<std::optional<Task>> ReadTask(const std::string& line, std::string_view alphabet,
                                             TaskFile::Check check) {
  TANDEM_ASSIGN_OR_RETURN(const Object object, ParseLine(line));
  Task task;
  TANDEM_ASSIGN_OR_RETURN(task.question, Text(object, "question", alphabet));
  TANDEM_ASSIGN_OR_RETURN(task.answer, Text(object, "answer", alphabet));
  if (object.fields().contains("plan")) {
    TANDEM_ASSIGN_OR_RETURN(task.plan, Text(object, "plan", alphabet));
  }
  TANDEM_ASSIGN_OR_RETURN(const bool kept, check(task));
  return kept ? std::optional(std::move(task)) : std::nullopt;
}

}  // namespace

absl::StatusOr<TaskFile> TaskFile::Read(const std::string& path, const proto::EnvironmentConfig& config,
                                        std::string_view alphabet, Check check) {
  TANDEM_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  TaskFile file;
  file.path_ = path;
  int number = 0, tasks = 0;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(bytes, '\n'))) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    absl::StatusOr<std::optional<Task>> task = ReadTask(line, alphabet, check);
    if (!task.ok()) return Annotate(task.status(), absl::StrCat(path, ":", number));
    if (!*task) {
      file.left_out_.push_back(number);
      continue;
    }
    ++tasks;
    file.splits_[SplitOf((*task)->question, config)].push_back(**std::move(task));
  }
  if (tasks == 0) {
    const size_t left_out = file.left_out_.size();
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": there are no tasks in it",
                     left_out == 0 ? "" : absl::StrCat(" but ", left_out, " that are left out")));
  }
  return file;
}

absl::StatusOr<Task> TaskFile::Get(proto::Split split, uint64_t index) const {
  const std::vector<Task>& tasks = splits_[split];
  if (tasks.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        path_, ": no question falls into the ", std::string(SplitName(split)), " split; add questions, or ",
        split == proto::TRAINING
            ? "lower environment.validation_share and heldout_share"
            : absl::StrCat("raise environment.", split == proto::HELD_OUT ? "heldout" : "validation", "_share")));
  }
  Task task = tasks[index % tasks.size()];
  task.index = index;
  return task;
}

}  // namespace tandem
