#include "base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

absl::Status ErrnoStatus(const std::string& path, const char* what) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": ", what));
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(path, "cannot be opened");
  std::string bytes;
  char buffer[1 << 16];
  ssize_t n;
  while ((n = read(fd, buffer, sizeof buffer)) > 0) bytes.append(buffer, static_cast<size_t>(n));
  const absl::Status status = n < 0 ? ErrnoStatus(path, "cannot be read") : absl::OkStatus();
  close(fd);
  if (!status.ok()) return status;
  return bytes;
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view bytes) {
  const std::string aside = absl::StrCat(path, ".tmp.", getpid());
  const int fd = open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(aside, "cannot be created");
  absl::Status status;
  for (size_t done = 0; status.ok() && done < bytes.size();) {
    const ssize_t n = write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno != EINTR) status = ErrnoStatus(aside, "cannot be written");
    if (n > 0) done += static_cast<size_t>(n);
  }
  if (status.ok() && fsync(fd) != 0) status = ErrnoStatus(aside, "cannot be synced");
  close(fd);
  if (status.ok() && rename(aside.c_str(), path.c_str()) != 0)
    status = ErrnoStatus(path, "cannot be renamed into place");
  if (!status.ok()) unlink(aside.c_str());
  return status;
}

}  // namespace tandem
