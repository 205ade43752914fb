// A kind of task: its questions, what a step of a plan may look like, how an answer is rewarded, and scripted players
// for the warm start and for evaluation.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/random.h"
#include "proto/config.pb.h"
#include "proto/message.pb.h"

namespace tandem {

struct Task {
  uint64_t index = 0;
  std::string question;             // "(3+4)*2-5="
  std::string answer;               // "9"
  std::optional<std::string> plan;  // a reference plan, where there is one: "A=3+4;B=A*2;C=B-5"
};

// A pure description: all methods are const, thread-safe, and functions of their arguments.
class Environment {
 public:
  virtual ~Environment() = default;

  // Every character that a question, plan, step or answer may contain.
  virtual std::string alphabet() const = 0;

  // The index-th task of a split. Splits are disjoint: a question's hash decides where it belongs.
  virtual absl::StatusOr<Task> MakeTask(proto::Split split, uint64_t index) const = 0;

  // What the planner reads.
  virtual std::string PlannerPrompt(const Task& task) const { return task.question; }

  // Whether a step of a plan ("A*2"; references are capital letters) can be carried out once its references are values.
  virtual bool StepIsWellFormed(std::string_view step) const = 0;

  // What the executor reads for a step whose references have been replaced by values ("7*2" -> "7*2=").
  virtual std::string ExecutorPrompt(std::string_view filled_step) const = 0;

  // Whether an executor's result can be put in place of a reference.
  virtual bool ResultIsWellFormed(std::string_view result) const { return result.size() == 1; }

  // Reward of the team for its answer, in [0, 1].
  virtual double Reward(const Task& task, std::string_view answer) const = 0;

  // The scripted planner; with `corrupt` a plan with an error that its random numbers choose.
  virtual std::string ScriptedPlan(const Task& task, RandomStream* corrupt) const = 0;

  // The scripted executor: the right result of a filled step, or with `corrupt` a wrong one. Empty for a step that has
  // no result.
  virtual std::string ScriptedStep(std::string_view filled_step, RandomStream* corrupt) const = 0;
};

// By name, from its part of the configuration; `directory` is what relative paths in it start from. kInvalidArgument
// names the key, or the file and line of a bad task.
absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(const proto::EnvironmentConfig& config, uint64_t seed,
                                                             const std::string& directory);

// Environments that MakeEnvironment knows by name. A registered one may replace another of the same name. Thread-safe.
using EnvironmentFactory = absl::StatusOr<std::unique_ptr<Environment>> (*)(const proto::EnvironmentConfig&,
                                                                            uint64_t seed,
                                                                            const std::string& directory);
void RegisterEnvironment(const std::string& name, EnvironmentFactory factory);
std::vector<std::string> EnvironmentNames();

}  // namespace tandem
