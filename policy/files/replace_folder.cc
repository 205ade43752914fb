#include "policy/files/replace_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/files/output_file.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

absl::Status RenameError(const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be put in place"));
}

std::string ParentOf(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

}  // namespace

absl::StatusOr<PartialFolder> PartialFolder::Create(const std::string& path) {
  static std::atomic<int> number = 0;
  std::string plain = path;
  while (plain.size() > 1 && plain.back() == '/') plain.pop_back();  // "models/new/" is named "new", not ""
  std::string folder = absl::StrCat(plain, ".partial-", getpid(), "-", ++number);
  std::error_code error;
  fs::remove_all(folder, error);  // of a process that died and had our number
  if (!fs::create_directories(folder, error)) {
    return absl::UnavailableError(absl::StrCat(folder, ": cannot be created: ", error.message()));
  }
  return PartialFolder(std::move(plain), std::move(folder));
}

PartialFolder::PartialFolder(std::string path, std::string folder)
    : path_(std::move(path)), folder_(std::move(folder)) {}

PartialFolder::PartialFolder(PartialFolder&& other) noexcept
    : path_(std::move(other.path_)), folder_(std::exchange(other.folder_, "")) {}

PartialFolder::~PartialFolder() {
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

absl::Status PartialFolder::Commit() {
  TANDEM_CHECK(!folder_.empty());
  TANDEM_RETURN_IF_ERROR(SyncFolder(folder_));
  if (renameat2(AT_FDCWD, folder_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) == 0) {
    // What was there before is now under our name, and goes with us.
  } else if (rename(folder_.c_str(), path_.c_str()) == 0) {  // nothing was there, or an empty folder
    folder_.clear();
  } else if (errno == ENOTEMPTY || errno == EEXIST) {  // a file system that cannot swap: two steps
    const std::string old = absl::StrCat(folder_, "-old");
    if (rename(path_.c_str(), old.c_str()) != 0) return RenameError(path_);
    if (rename(folder_.c_str(), path_.c_str()) != 0) {
      const absl::Status status = RenameError(path_);
      if (rename(old.c_str(), path_.c_str()) != 0) return RenameError(old);
      return status;
    }
    folder_ = old;
  } else {
    return RenameError(path_);
  }
  return SyncFolder(ParentOf(path_));
}

}  // namespace tandem
