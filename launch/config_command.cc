#include <cstdio>
#include <memory>

#include "launch/command.h"
#include "launch/config_writer.h"
#include "launch/preflight.h"

namespace tandem {
namespace {

struct Flags {
  ConfigSource source;
  std::string seed;
  bool plain = false;
};

int PrintConfig(Flags flags) {
  if (!flags.seed.empty()) flags.source.seed = flags.seed;
  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(flags.source);
  if (!loaded.ok()) return BadInput(loaded.status());
  if (const absl::Status status = CheckBeforeRun(*loaded); !status.ok()) return BadInput(status);
  std::fputs(WriteYaml(loaded->config, {.documented = !flags.plain}).c_str(), stdout);
  return kExitFine;
}

}  // namespace

Command MakeConfigCommand(CLI::App& program) {
  CLI::App* app = program.add_subcommand(
      "config",
      "Checks a configuration and prints all of it, defaults included; above each key stand its documentation,\n"
      "its range and its default. What it prints is a configuration itself.");
  auto flags = std::make_shared<Flags>();
  app->add_option("CONFIG", flags->source.file, "the YAML file")->required()->type_name("");
  AddSetOption(app, &flags->source.sets);
  app->add_option("--seed", flags->seed, "the same as --set seed=N")->type_name("N");
  app->add_flag("--plain", flags->plain, "without the documentation");
  app->footer("Example:\n  tandem config configs/quickstart.yaml --set policies.planner.ranks=2");
  return {app, [flags] { return PrintConfig(*flags); }};
}

}  // namespace tandem
