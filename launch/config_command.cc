#include <cstdio>

#include "launch/commands.h"
#include "launch/config_writer.h"
#include "launch/preflight.h"

namespace tandem {
int PrintConfig(ConfigFlags flags) {
  if (!flags.seed.empty()) flags.source.seed = flags.seed;
  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(flags.source);
  if (!loaded.ok()) return BadInput(loaded.status());
  if (const absl::Status status = CheckBeforeRun(*loaded); !status.ok()) return BadInput(status);
  std::fputs(WriteYaml(loaded->config, {.documented = !flags.plain}).c_str(), stdout);
  return kExitFine;
}

}  // namespace tandem
