// A folder that appears whole under its name, or not at all.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// An empty folder beside its later place, removed with all that is in it unless Commit() put it there.
class PartialFolder {
 public:
  // Makes "PATH.partial-PID-N". Errors name the folder.
  static absl::StatusOr<PartialFolder> Create(const std::string& path);
  PartialFolder(PartialFolder&& other) noexcept;
  PartialFolder& operator=(PartialFolder&&) = delete;
  ~PartialFolder();

  const std::string& folder() const { return folder_; }

  // Syncs the folder (its files have to be synced already) and gives it its name, once and last. A folder that is there
  // under that name is swapped with it in one step, where the file system can, and then removed.
  absl::Status Commit();

 private:
  PartialFolder(std::string path, std::string folder);
  std::string path_, folder_;
};

}  // namespace tandem
