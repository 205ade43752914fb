// Logging: one line an event on standard error, with the time, the process's name and the level. spdlog does it, but
// its headers stay in log.cc: they take 5 s to compile, and do not fit into one translation unit with LibTorch's.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"

namespace tandem {

// Call once at the start of a process. `who` names it in every line ("worker-1"). Lines of `level` and above are
// written: trace, debug, info, warn, error, off; the environment's TANDEM_LOG comes before `level`.
void SetUpLogging(const std::string& who, const std::string& level);

// Of a command that a person has typed: "warning: ..." without more, and never on standard output, which may go to a
// file.
void LogToStandardError();

// Thread-safe.
void WriteLog(const char* level, const std::string& line);

// LogInfo("lost ", peer, " after ", seconds, " s"): what absl::StrCat takes.
template <typename... Parts>
void LogDebug(const Parts&... parts) {
  WriteLog("debug", absl::StrCat(parts...));
}
template <typename... Parts>
void LogInfo(const Parts&... parts) {
  WriteLog("info", absl::StrCat(parts...));
}
template <typename... Parts>
void LogWarning(const Parts&... parts) {
  WriteLog("warn", absl::StrCat(parts...));
}
template <typename... Parts>
void LogError(const Parts&... parts) {
  WriteLog("error", absl::StrCat(parts...));
}

}  // namespace tandem
