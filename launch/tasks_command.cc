#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "launch/command.h"
#include "launch/config_check.h"
#include "launch/preflight.h"
#include "launch/suggestion.h"
#include "trainer/loss.h"

namespace tandem {
namespace {

struct Flags {
  ConfigSource source;
  std::string seed;
  std::string split = "training";
  uint64_t count = 100;
  bool list = false;
};

const std::map<std::string, proto::Split> kSplits = {
    {"training", proto::TRAINING}, {"validation", proto::VALIDATION}, {"held_out", proto::HELD_OUT}};

// The configuration that was named, or the defaults.
absl::StatusOr<LoadedConfig> Load(Flags flags) {
  if (!flags.seed.empty()) flags.source.seed = flags.seed;
  return flags.source.file.empty() ? DefaultConfig(flags.source) : LoadConfig(flags.source);
}

int WriteTasks(const Flags& flags) {
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
  const absl::StatusOr<TaskSource> source = MakeTaskSource(*loaded);
  if (!source.ok()) return BadInput(source.status());
  for (uint64_t index = 0; index < flags.count; ++index) {
    const absl::StatusOr<Task> task = source->environment->MakeTask(split->second, index);
    if (!task.ok()) return BadInput(task.status());
    nlohmann::ordered_json line;
    line["question"] = task->question;
    line["answer"] = task->answer;
    line["plan"] = task->plan ? *task->plan : source->environment->ScriptedPlan(*task, nullptr);
    if (std::printf("%s\n", line.dump().c_str()) < 0)
      return Failed(absl::DataLossError("standard output: cannot be written"));
  }
  return kExitFine;
}

}  // namespace

Command MakeTasksCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "tasks",
      "Writes tasks of an environment as JSON lines, each with question, answer and a reference plan. Without\n"
      "CONFIG those of the default environment. A file of such lines can be trained on: environment.tasks.");
  auto flags = std::make_shared<Flags>();
  app->add_option("CONFIG", flags->source.file, "the YAML file whose environment is meant")->type_name("");
  app->add_option("--split", flags->split, "training (the default), validation or held_out")->type_name("NAME");
  app->add_option("--count", flags->count, "how many tasks (100)")->type_name("N");
  AddSetOption(app, &flags->source.sets);
  app->add_option("--seed", flags->seed, "the same as --set seed=N")->type_name("N");
  app->add_flag("--list", flags->list, "lists the environments instead");
  app->footer("Example:\n  tandem tasks --count 5000 --set environment.max_operations=4 > tasks.jsonl");
  return {app, [flags] { return WriteTasks(*flags); }};
}

}  // namespace tandem
