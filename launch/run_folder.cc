#include "launch/run_folder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "launch/config_writer.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

std::string Absolute(const std::string& path) {
  const std::string absolute = fs::absolute(path).lexically_normal().string();
  return absolute.size() > 1 && absolute.back() == '/' ? absolute.substr(0, absolute.size() - 1) : absolute;
}

absl::Status CannotMake(const std::string& path, const std::error_code& error) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": this folder cannot be made: ", error.message()));
}

// Copies what `path`, relative to `folder`, names, unless the run has it already; returns its name in the run's folder.
// A later incarnation's copy has its number, since the configurations of those before name theirs.
absl::StatusOr<std::string> TakeFile(const std::string& run_folder, uint32_t incarnation, const std::string& folder,
                                     const fs::path& path, fs::path name) {
  if (folder == run_folder && path.is_relative()) return path.string();
  if (incarnation > 0)
    name.replace_filename(absl::StrCat(name.stem().string(), "-", incarnation, name.extension().string()));
  TANDEM_ASSIGN_OR_RETURN(const std::string bytes, ReadFile((fs::path(folder) / path).string()));
  TANDEM_RETURN_IF_ERROR(WriteFileAtomically((run_folder / name).string(), bytes));
  return name.string();
}

}  // namespace

absl::StatusOr<std::string> MakeRunFolder(const std::string& parent, const std::string& name, std::time_t now) {
  std::error_code error;
  fs::create_directories(parent, error);
  if (error) return CannotMake(parent, error);
  std::tm local{};
  localtime_r(&now, &local);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &local);
  for (int n = 1; n < 1000; ++n) {
    const std::string folder = absl::StrCat(parent, "/", name, "-", stamp, n > 1 ? absl::StrCat("-", n) : "");
    if (fs::create_directory(folder, error)) return Absolute(folder);
    if (error) return CannotMake(folder, error);
  }
  return absl::ResourceExhaustedError(absl::StrCat(parent, ": a thousand runs of this second"));
}

absl::StatusOr<std::string> MakeChosenRunFolder(const std::string& folder) {
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_directory(folder, error)) {
    return absl::InvalidArgumentError(absl::StrCat("--run-dir ", folder, ": this is a file"));
  }
  if (fs::exists(folder, error) && !fs::is_empty(folder, error)) {
    return absl::InvalidArgumentError(absl::StrCat("--run-dir ", folder,
                                                   ": the folder is not empty; expected a new or an empty one"
                                                   " (to go on with a run: tandem train --resume ",
                                                   folder, ")"));
  }
  fs::create_directories(folder, error);
  if (error) return CannotMake(folder, error);
  return Absolute(folder);
}

absl::StatusOr<std::string> OpenRunFolder(const std::string& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return absl::NotFoundError(absl::StrCat(folder, ": no such run folder"));
  if (!fs::is_regular_file(ConfigFile(folder), error)) {
    return absl::NotFoundError(absl::StrCat(folder, ": this is no run folder: it has no config.yaml"));
  }
  return Absolute(folder);
}

std::string ConfigFile(const std::string& run_folder) { return run_folder + "/config.yaml"; }
std::string MetricsFile(const std::string& run_folder) { return run_folder + "/metrics.jsonl"; }
std::string LogFile(const std::string& run_folder, const std::string& process) {
  return absl::StrCat(run_folder, "/logs/", process, ".log");
}

absl::Status FillRunFolder(const std::string& run_folder, uint32_t incarnation, LoadedConfig* loaded) {
  std::error_code error;
  for (const char* below : {"/logs", "/checkpoints"}) {
    fs::create_directories(run_folder + below, error);
    if (error) return CannotMake(run_folder + below, error);
  }
  const auto take = [&](const std::string& path, const std::string& name) {
    return TakeFile(run_folder, incarnation, loaded->folder, path, name);
  };
  proto::EnvironmentConfig* environment = loaded->config.mutable_environment();
  if (!environment->tasks().empty()) {
    TANDEM_ASSIGN_OR_RETURN(*environment->mutable_tasks(), take(environment->tasks(), "tasks.jsonl"));
  }
  for (auto& [policy, lag] : *loaded->config.mutable_lag()) {
    if (!lag.has_trace()) continue;
    TANDEM_ASSIGN_OR_RETURN(*lag.mutable_trace(), take(lag.trace(), absl::StrCat("lag-", policy, ".txt")));
  }
  loaded->folder = run_folder;
  return WriteFileAtomically(ConfigFile(run_folder), WriteYaml(loaded->config));
}

double LastTime(const std::string& run_folder) {
  std::ifstream file(MetricsFile(run_folder));
  double last = 0;
  for (std::string line; std::getline(file, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) last = std::max(last, json.value("time_s", 0.0));
  }
  return last;
}

absl::StatusOr<RunLock> RunLock::Take(const std::string& run_folder) {
  const std::string file = run_folder + "/lock";
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(file, ": cannot be opened"));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return absl::FailedPreconditionError(absl::StrCat(run_folder, ": this run is still going on in another process"));
  }
  return RunLock(fd);
}

RunLock::~RunLock() {
  if (fd_ >= 0) close(fd_);
}

std::optional<uint32_t> LastIncarnation(const std::string& run_folder) {
  std::ifstream file(run_folder + "/incarnation");
  uint32_t incarnation = 0;
  if (file >> incarnation) return incarnation;
  return std::nullopt;
}

absl::Status NoteIncarnation(const std::string& run_folder, uint32_t incarnation) {
  return WriteFileAtomically(run_folder + "/incarnation", absl::StrCat(incarnation, "\n"));
}

absl::StatusOr<PrivateFolder> PrivateFolder::Make() {
  const char* wanted = std::getenv("TMPDIR");
  std::string base = wanted != nullptr && *wanted != '\0' ? wanted : "/tmp";
  // A socket's path holds 107 bytes: /tandem-XXXXXX/exchange.pub needs 27 of them.
  if (base.size() > 80) base = "/tmp";
  std::string pattern = base + "/tandem-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("TMPDIR: no private folder can be made in ", base));
  }
  return PrivateFolder(pattern);
}

PrivateFolder::~PrivateFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

}  // namespace tandem
