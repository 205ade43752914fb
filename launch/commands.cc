#include "launch/commands.h"

#include <cstdio>

#include "absl/strings/str_replace.h"
#include "launch/build_id.h"
#include "proto/wire/packet.h"

namespace tandem {

int BadInput(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", absl::StrReplaceAll(std::string(status.message()), {{"\n", " "}}).c_str());
  return kExitBadInput;
}

int Failed(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return kExitFailed;
}

int PrintVersion() {
  std::printf("tandem 0.1, protocol %u, build %s\n", wire::kProtocol, BuildId().c_str());
  return kExitFine;
}

}  // namespace tandem
