// Logging: spdlog, to standard error, one line an event, with the process's name.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

namespace tandem {

// Call once at the start of a process. `who` names it in every line ("worker-1"). Level: the environment's
// TANDEM_LOG (trace, debug, info, warn, error), by default `level`.
void SetUpLogging(const std::string& who, spdlog::level::level_enum level = spdlog::level::warn);

}  // namespace tandem
