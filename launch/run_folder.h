// Where a run keeps its files.
//   config.yaml       the resolved configuration (tasks.jsonl beside it when it trains on a file)
//   metrics.jsonl     what was measured; episodes.jsonl: sample episodes; tensorboard/
//   checkpoints/<policy>/<incarnation>-<number>/
//   journal/<incarnation>   what happened, for recovery and replay (exchange/journal.h)
//   logs/<process>.log
//   report.html
//   incarnation       the last one that was started; lock: held while a process runs it
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "launch/config.h"

namespace tandem {

// Makes `parent`/<name>-<YYYYmmdd-HHMMSS> (with -2, -3, ... when that is taken) and returns its absolute path.
absl::StatusOr<std::string> MakeRunFolder(const std::string& parent, const std::string& name, std::time_t now);

// Makes `folder`, which must not be there or be empty, and returns its absolute path.
absl::StatusOr<std::string> MakeChosenRunFolder(const std::string& folder);

// kNotFound unless `folder` holds a config.yaml. Returns its absolute path.
absl::StatusOr<std::string> OpenRunFolder(const std::string& folder);

std::string ConfigFile(const std::string& run_folder);
std::string MetricsFile(const std::string& run_folder);
std::string LogFile(const std::string& run_folder, const std::string& process);

// Writes config.yaml and makes the folders below. Files of tasks and lags that are not the run's own yet are copied in,
// and `loaded` refers to the copies afterwards: the run stays whole when the originals move.
absl::Status FillRunFolder(const std::string& run_folder, uint32_t incarnation, LoadedConfig* loaded);

// time_s of the last whole line of metrics.jsonl, 0 when there is none: where the clock of a resumed run goes on.
double LastTime(const std::string& run_folder);

// Held while a run is going on in the folder, so that nobody resumes it meanwhile; given up with the process at the
// latest.
class RunLock {
 public:
  // kFailedPrecondition: another process holds it.
  static absl::StatusOr<RunLock> Take(const std::string& run_folder);
  RunLock(RunLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RunLock& operator=(RunLock&&) = delete;
  ~RunLock();

 private:
  explicit RunLock(int fd) : fd_(fd) {}
  int fd_;
};

// The incarnation that the run was last started with; nullopt when it never was.
std::optional<uint32_t> LastIncarnation(const std::string& run_folder);
absl::Status NoteIncarnation(const std::string& run_folder, uint32_t incarnation);

// A folder that only we can enter, under $TMPDIR or /tmp, removed with all that is in it at the end: sockets and the
// rendezvous files of ranks. Its path is short, as sockets need it.
class PrivateFolder {
 public:
  static absl::StatusOr<PrivateFolder> Make();
  PrivateFolder(PrivateFolder&& other) noexcept : path_(std::move(other.path_)) { other.path_.clear(); }
  PrivateFolder& operator=(PrivateFolder&&) = delete;
  ~PrivateFolder();

  const std::string& path() const { return path_; }

 private:
  explicit PrivateFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace tandem
