#include "trainer/checkpoint_list.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

std::filesystem::path PolicyFolder(const std::string& run_folder, const std::string& policy) {
  return std::filesystem::path(run_folder) / "checkpoints" / policy;
}

}  // namespace

std::string CheckpointName::Folder() const { return absl::StrCat(incarnation, sft ? "-sft-" : "-", step); }

bool CheckpointName::operator<(const CheckpointName& other) const {
  return std::tuple(incarnation, !sft, step) < std::tuple(other.incarnation, !other.sft, other.step);
}

std::optional<CheckpointName> ParseCheckpointName(const std::string& folder) {
  CheckpointName name;
  if (std::sscanf(folder.c_str(), "%u-sft-%u", &name.incarnation, &name.step) == 2) {
    name.sft = true;
  } else if (std::sscanf(folder.c_str(), "%u-%u", &name.incarnation, &name.step) != 2) {
    return std::nullopt;
  }
  // Only what Folder() writes: sscanf also takes "1-2.old" and " 1-+2".
  if (name.Folder() != folder) return std::nullopt;
  return name;
}

std::string CheckpointFolder(const std::string& run_folder, const std::string& policy, const CheckpointName& name) {
  return (PolicyFolder(run_folder, policy) / name.Folder()).string();
}

std::vector<CheckpointName> ListCheckpoints(const std::string& run_folder, const std::string& policy) {
  std::vector<CheckpointName> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(PolicyFolder(run_folder, policy), error), end; !error && at != end;
       at.increment(error)) {
    if (const auto name = ParseCheckpointName(at->path().filename().string())) names.push_back(*name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<std::string> FindNewestCheckpoint(const std::string& run_folder, const std::string& policy,
                                                 bool trained_only) {
  std::vector<CheckpointName> names = ListCheckpoints(run_folder, policy);
  while (!names.empty() && trained_only && names.back().sft) names.pop_back();
  if (names.empty()) {
    return absl::NotFoundError(absl::StrCat(PolicyFolder(run_folder, policy).string(), ": holds no checkpoint",
                                            trained_only ? " of a version" : ""));
  }
  return CheckpointFolder(run_folder, policy, names.back());
}

}  // namespace tandem
