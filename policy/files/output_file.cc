#include "policy/files/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

absl::Status WriteError(const std::string& path, const char* what) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": ", what));
}

}  // namespace

absl::StatusOr<OutputFile> OutputFile::Create(const std::string& path) {
  std::string aside = absl::StrCat(path, ".tmp.", getpid());
  const int fd = open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return WriteError(aside, "cannot be created");
  return OutputFile(path, std::move(aside), fd);
}

OutputFile::OutputFile(std::string path, std::string aside, int fd)
    : path_(std::move(path)), aside_(std::move(aside)), fd_(fd) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), aside_(std::move(other.aside_)), fd_(std::exchange(other.fd_, -1)) {}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(aside_.c_str());
}

absl::Status OutputFile::Append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return WriteError(aside_, "cannot be written");
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status OutputFile::Append(std::string_view text) { return Append(std::as_bytes(std::span(text))); }

absl::Status OutputFile::Commit() {
  TANDEM_CHECK(fd_ >= 0);
  if (fsync(fd_) != 0) return WriteError(aside_, "cannot be synced");
  if (rename(aside_.c_str(), path_.c_str()) != 0) return WriteError(path_, "cannot be renamed into place");
  close(std::exchange(fd_, -1));
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return WriteError(folder, "cannot be opened");
  const absl::Status status = fsync(fd) == 0 ? absl::OkStatus() : WriteError(folder, "cannot be synced");
  close(fd);
  return status;
}

}  // namespace tandem
