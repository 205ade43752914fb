// Tasks that people bring: a file of JSON lines, {"question": "3+4=", "answer": "7", "plan": "A=3+4"}; plan is
// optional, and other keys are ignored.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "rollout/env/environment.h"

namespace tandem {

// Immutable.
class TaskFile {
 public:
  // A check of the environment's own for each task, and what it may add to it. False: the task is left out. Its error
  // begins with the key.
  using Check = absl::FunctionRef<absl::StatusOr<bool>(Task&)>;

  // kNotFound: no such file. kInvalidArgument names file, line and key: not JSON, a missing key, a value that is not
  // text, a character outside `alphabet` (empty: any may be), what `check` finds, or that there are no tasks.
  static absl::StatusOr<TaskFile> Read(const std::string& path, const proto::EnvironmentConfig& config,
                                       std::string_view alphabet, Check check);

  const std::vector<int>& left_out() const { return left_out_; }  // by the check: the numbers of their lines

  // The task at `index` modulo the number of tasks in the split (in the file's order). kFailedPrecondition: there are
  // none.
  absl::StatusOr<Task> Get(proto::Split split, uint64_t index) const;

 private:
  std::string path_;
  std::vector<int> left_out_;
  std::array<std::vector<Task>, 3> splits_;  // by proto::Split
};

}  // namespace tandem
