#include <cstdio>

#include "launch/build_id.h"
#include "launch/command.h"
#include "proto/wire/packet.h"

namespace tandem {

Command MakeVersionCommand(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("version", "Prints the version, and the build that the peers of a run have to share.");
  return {app, [] {
            std::printf("tandem 0.1, protocol %u, build %s\n", wire::kProtocol, BuildId().c_str());
            return kExitFine;
          }};
}

}  // namespace tandem
