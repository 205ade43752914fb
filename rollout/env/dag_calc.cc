#include "rollout/env/dag_calc.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "base/status.h"
#include "rollout/env/expression.h"
#include "rollout/env/plan_oracle.h"
#include "rollout/env/scripted_plan.h"
#include "rollout/env/split.h"
#include "rollout/env/task_file.h"
#include "rollout/plan/plan_reader.h"

namespace tandem {
namespace {

class DagCalc final : public Environment {
 public:
  DagCalc(const proto::EnvironmentConfig& config, uint64_t seed)
      : config_(config),
        seed_(seed),
        modulus_(static_cast<int>(config.modulus())),
        max_operand_(static_cast<int>(config.max_operand())),
        alphabet_(MakeAlphabet()) {}

  std::string alphabet() const override { return alphabet_; }

  absl::StatusOr<Task> MakeTask(proto::Split split, uint64_t index) const override {
    if (file_) return file_->Get(split, index);
    return DrawTask(config_, seed_, split, index, [this](RandomStream& random) { return Draw(random); });
  }

  bool StepIsWellFormed(std::string_view step) const override {
    return step.size() == 3 && IsOperand(step[0]) && config_.operators().find(step[1]) != std::string::npos &&
           IsOperand(step[2]);
  }

  std::string ExecutorPrompt(std::string_view filled_step) const override {
    std::string prompt;
    prompt.reserve(filled_step.size() + 1);
    prompt.append(filled_step).push_back('=');
    return prompt;
  }

  bool ResultIsWellFormed(std::string_view result) const override { return result.size() == 1 && IsDigit(result[0]); }

  double Reward(const Task& task, std::string_view answer) const override { return answer == task.answer ? 1 : 0; }

  std::string ScriptedPlan(const Task& task, RandomStream* corrupt) const override {
    if (corrupt == nullptr && task.plan) return *task.plan;
    const absl::StatusOr<Expression> expression = ExpressionOf(task.question);
    if (expression.ok()) {
      return corrupt == nullptr ? PlanText(*expression)
                                : CorruptPlanText(*expression, config_.operators(), max_operand_, *corrupt);
    }
    // A question of another language, whose plan stands in the file: a character is lost.
    std::string plan = *task.plan;
    return plan.erase(corrupt->Below(plan.size()), 1);
  }

  std::string ScriptedStep(std::string_view step, RandomStream* corrupt) const override {
    if (!StepIsWellFormed(step) || !IsDigit(step[0]) || !IsDigit(step[2])) return "";
    int result = Calculate(step[0] - '0', step[1], step[2] - '0', modulus_);
    if (corrupt != nullptr) result = (result + 1 + static_cast<int>(corrupt->Below(modulus_ - 1))) % modulus_;
    return std::string(1, static_cast<char>('0' + result));
  }

  absl::Status ReadTasks(const std::string& path) {
    TANDEM_ASSIGN_OR_RETURN(
        TaskFile file, TaskFile::Read(path, config_, alphabet_, [this](Task& task) { return CheckFileTask(task); }));
    file_ = std::move(file);
    return absl::OkStatus();
  }

 private:
  std::string MakeAlphabet() const {
    std::string alphabet = config_.operators() + "()=;";
    for (int digit = 0; digit < modulus_; ++digit) alphabet += static_cast<char>('0' + digit);
    for (uint32_t name = 0; name < config_.max_nodes(); ++name) alphabet += static_cast<char>('A' + name);
    return alphabet;
  }

  bool IsDigit(char c) const { return c >= '0' && c < '0' + modulus_; }
  bool IsOperand(char c) const { return IsDigit(c) || (c >= 'A' && c <= 'Z'); }

  Task Draw(RandomStream& random) const {
    const uint32_t fewest = config_.min_operations(), most = config_.max_operations();
    const int operations = static_cast<int>(fewest + random.Below(most - fewest + 1));
    const Expression expression = DrawExpression(operations, config_.operators(), max_operand_, random);
    Task task;
    task.question = ExpressionText(expression) + "=";
    task.answer = std::to_string(EvaluateExpression(expression, modulus_));
    task.plan = PlanText(expression);
    return task;
  }

  static absl::StatusOr<Expression> ExpressionOf(std::string_view question) {
    if (!question.empty() && question.back() == '=') question.remove_suffix(1);
    TANDEM_ASSIGN_OR_RETURN(Expression expression, ParseExpression(question));
    if (expression.size() > 26) return absl::InvalidArgumentError("more than 26 operations");
    return expression;
  }

  // Sees to it that the scripted planner has a plan for every task of a file, and that it is a valid one.
  absl::StatusOr<bool> CheckFileTask(Task& task) const {
    if (!task.plan) {
      const absl::StatusOr<Expression> expression = ExpressionOf(task.question);
      if (!expression.ok()) {
        return Annotate(expression.status(),
                        absl::StrCat("question \"", task.question, "\" is no expression and there is no key plan"));
      }
      task.plan = PlanText(*expression);
    }
    PlanReader reader(static_cast<int>(config_.max_nodes()),
                      [this](std::string_view s) { return StepIsWellFormed(s); });
    reader.Feed(*task.plan);
    reader.End(/*finished=*/true);
    if (!reader.faulty()) {
      if (PlanIsRight(reader.plan(), *this, task)) return true;
      return absl::InvalidArgumentError(absl::StrCat("plan: \"", *task.plan, "\" does not come to the answer \"",
                                                     task.answer, "\" (all is modulo ", modulus_, ")"));
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "plan: \"", *task.plan, "\" is faulty: ", std::string(PlanFaultName(reader.fault())), ", ", reader.detail()));
  }

  const proto::EnvironmentConfig config_;
  const uint64_t seed_;
  const int modulus_, max_operand_;
  const std::string alphabet_;
  std::optional<TaskFile> file_;
};

absl::Status CheckConfig(const proto::EnvironmentConfig& config) {
  const std::string& operators = config.operators();
  if (operators.empty() || operators.find_first_not_of("+-*") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("environment.operators: expected some of + - *, found \"", absl::CHexEscape(operators), "\""));
  }
  if (config.min_operations() < 1 || config.min_operations() > config.max_operations()) {
    return absl::InvalidArgumentError(absl::StrCat("environment.min_operations: expected 1 to max_operations (",
                                                   config.max_operations(), "), found ", config.min_operations()));
  }
  if (config.max_operations() > config.max_nodes()) {
    return absl::InvalidArgumentError(absl::StrCat("environment.max_operations: ", config.max_operations(),
                                                   " operations take more steps than max_nodes: ", config.max_nodes()));
  }
  if (config.modulus() < 2 || config.modulus() > 10) {
    return absl::InvalidArgumentError(absl::StrCat("environment.modulus: expected 2 to 10, found ", config.modulus()));
  }
  if (config.max_operand() >= config.modulus()) {
    return absl::InvalidArgumentError(
        absl::StrCat("environment.max_operand: ", config.max_operand(), " is not below modulus: ", config.modulus()));
  }
  if (config.max_nodes() > 26) {
    return absl::InvalidArgumentError(
        absl::StrCat("environment.max_nodes: expected 1 to 26, found ", config.max_nodes()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Environment>> MakeDagCalc(const proto::EnvironmentConfig& config, uint64_t seed,
                                                         const std::string& directory) {
  TANDEM_RETURN_IF_ERROR(CheckConfig(config));
  auto environment = std::make_unique<DagCalc>(config, seed);
  if (!config.tasks().empty()) {
    const bool absolute = config.tasks()[0] == '/' || directory.empty();
    const std::string path = absolute ? config.tasks() : absl::StrCat(directory, "/", config.tasks());
    TANDEM_RETURN_IF_ERROR(Annotate(environment->ReadTasks(path), "environment.tasks"));
  }
  return environment;
}

}  // namespace tandem
