// A file that is too large to be held in memory before it is written.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// As WriteFileAtomically (base/file.h), piece by piece: the bytes go to a file beside `path`, which Commit() syncs and
// renames. Without Commit() nothing is left. Errors name the path.
class OutputFile {
 public:
  static absl::StatusOr<OutputFile> Create(const std::string& path);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  absl::Status Append(std::span<const std::byte> bytes);
  absl::Status Append(std::string_view text);
  absl::Status Commit();  // once, and last

 private:
  OutputFile(std::string path, std::string aside, int fd);
  std::string path_, aside_;
  int fd_;
};

// A folder's entries are on disk only once the folder itself was synced.
absl::Status SyncFolder(const std::string& folder);

}  // namespace tandem
