// A file in memory, read only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// The bytes stay where they are until the object dies; a move takes them along. After Open all methods are const and
// safe to call from several threads. Who shortens the file in the meantime kills a process that touches the bytes which
// are gone (SIGBUS): our own writers never change a file in place, and ReadAt() reports it.
class MappedFile {
 public:
  // No byte is read yet. kNotFound, kPermissionDenied, ... name the path; a folder, a pipe or a device is
  // kInvalidArgument.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

  // Copies the bytes from `offset` on into all of `out` without touching the map: from the page cache it takes about a
  // fifth more CPU time, but what goes wrong with the file is an error. kDataLoss when it ends before.
  absl::Status ReadAt(uint64_t offset, std::span<std::byte> out) const;

 private:
  MappedFile() = default;
  std::string path_;
  int fd_ = -1;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace tandem
