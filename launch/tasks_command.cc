#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "launch/commands.h"
#include "launch/config_check.h"
#include "launch/preflight.h"
#include "launch/suggestion.h"
#include "trainer/loss.h"

namespace tandem {
namespace {

const std::map<std::string, proto::Split> kSplits = {
    {"training", proto::TRAINING}, {"validation", proto::VALIDATION}, {"held_out", proto::HELD_OUT}};

// The configuration that was named, or the defaults.
absl::StatusOr<LoadedConfig> Load(TasksFlags flags) {
  if (!flags.seed.empty()) flags.source.seed = flags.seed;
  return flags.source.file.empty() ? DefaultConfig(flags.source) : LoadConfig(flags.source);
}

}  // namespace

int WriteTasks(const TasksFlags& flags) {
  if (flags.list) {
    for (const std::string& name : EnvironmentNames()) std::printf("%s\n", name.c_str());
    return kExitFine;
  }
  const auto split = kSplits.find(flags.split);
  if (split == kSplits.end()) {
    return BadInput(absl::InvalidArgumentError(absl::StrCat(
        "--split ", flags.split, ": no such split", Suggestion(flags.split, {"training", "validation", "held_out"}))));
  }
  const absl::StatusOr<LoadedConfig> loaded = Load(flags);
  if (!loaded.ok()) return BadInput(loaded.status());
  absl::Status checked = CheckConfig(*loaded, {.environments = EnvironmentNames(), .losses = LossNames()});
  if (!checked.ok()) return BadInput(checked);
  const absl::StatusOr<std::unique_ptr<Environment>> source = OpenEnvironment(*loaded);
  if (!source.ok()) return BadInput(source.status());
  for (uint64_t index = 0; index < flags.count; ++index) {
    const absl::StatusOr<Task> task = (*source)->MakeTask(split->second, index);
    if (!task.ok()) return BadInput(task.status());
    nlohmann::ordered_json line;
    line["question"] = task->question;
    line["answer"] = task->answer;
    line["plan"] = task->plan ? *task->plan : (*source)->ScriptedPlan(*task, nullptr);
    if (std::printf("%s\n", line.dump().c_str()) < 0)
      return Failed(absl::DataLossError("standard output: cannot be written"));
  }
  return kExitFine;
}

}  // namespace tandem
