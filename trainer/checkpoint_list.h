// The checkpoints of a run on disk: which there are, and in which order. No torch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem {

// RUN/checkpoints/<policy>/<incarnation>-<number>, or <incarnation>-sft-<step> in the middle of the warm start.
struct CheckpointName {
  uint32_t incarnation = 0;
  bool sft = false;
  uint32_t step = 0;  // number of the version, or supervised steps done

  std::string Folder() const;  // "1-20", "0-sft-100"
  // Later ones are greater. Within an incarnation the warm start comes first.
  bool operator<(const CheckpointName& other) const;
  bool operator==(const CheckpointName&) const = default;
};

// nullopt: not the name of a checkpoint's folder (that of one being written, for instance).
std::optional<CheckpointName> ParseCheckpointName(const std::string& folder);

std::string CheckpointFolder(const std::string& run_folder, const std::string& policy, const CheckpointName& name);

// Oldest first; none when the folder is not there.
std::vector<CheckpointName> ListCheckpoints(const std::string& run_folder, const std::string& policy);

// Path of the newest checkpoint. kNotFound names the folder that was looked into. `trained_only`: of a version, not of
// the warm start's middle.
absl::StatusOr<std::string> FindNewestCheckpoint(const std::string& run_folder, const std::string& policy,
                                                 bool trained_only = false);

}  // namespace tandem
