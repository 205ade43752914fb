// Files: read whole, written aside and renamed.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// The bytes of `path`. kNotFound or kPermissionDenied name the path.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Writes `bytes` to a file beside `path`, syncs it and renames it: after a crash `path` holds the old bytes or the new
// ones, never a part.
absl::Status WriteFileAtomically(const std::string& path, std::string_view bytes);

}  // namespace tandem
