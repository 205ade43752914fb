#include "rollout/env/word_problems.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/status.h"
#include "rollout/env/calculation.h"
#include "rollout/env/expression.h"
#include "rollout/env/plan_oracle.h"
#include "rollout/env/split.h"
#include "rollout/env/task_file.h"
#include "rollout/plan/plan_reader.h"

namespace tandem {
namespace {

constexpr char kPlannerText[] =
    "Solve the problem in steps of one operation each, as in A=48/2;B=48+A where a capital letter stands for the "
    "result "
    "of an earlier step. Write the steps and nothing else.\n";

char NodeName(int node) { return static_cast<char>('A' + node); }

// "48/2" as its two operands and what stands between them; nullopt: not an operation.
struct StepText {
  std::string_view left, right;
  char op;
};
std::optional<StepText> SplitStep(std::string_view step) {
  const size_t op = step.find_first_of("+-*/", 1);  // a sign may stand in front
  if (step.size() < 3 || op == std::string_view::npos || op + 1 == step.size()) return std::nullopt;
  return StepText{step.substr(0, op), step.substr(op + 1), step[op]};
}

bool IsOperand(std::string_view text) {
  return (text.size() == 1 && IsNodeName(text[0])) || ParseNumber(text).has_value();
}

std::string OperandText(const CalculationOperand& operand) {
  if (operand.operation >= 0) return std::string(1, NodeName(operand.operation));
  return NumberText(operand.number);
}

std::string CalculationText(const Calculation& calculation) {
  std::string text;
  for (size_t i = 0; i < calculation.size(); ++i) {
    const CalculationStep& step = calculation[i];
    absl::StrAppend(&text, i > 0 ? ";" : "", std::string(1, NodeName(static_cast<int>(i))), "=", OperandText(step.left),
                    std::string(1, step.op), OperandText(step.right));
  }
  return text;
}

std::string InWords(const Expression& expression, const Operand& operand) {
  if (!operand.reference) return absl::StrCat(operand.value);
  const Operation& operation = expression[static_cast<size_t>(operand.value)];
  const char* what = operation.op == '+' ? "sum of" : operation.op == '-' ? "difference between" : "product of";
  return absl::StrCat("the ", what, " ", InWords(expression, operation.left), " and ",
                      InWords(expression, operation.right));
}

CalculationOperand OperandOf(const Operand& operand) {
  return operand.reference ? CalculationOperand{operand.value, 0}
                           : CalculationOperand{-1, static_cast<double>(operand.value)};
}

Calculation CalculationOf(const Expression& expression) {
  Calculation calculation;
  for (const Operation& o : expression) calculation.push_back({OperandOf(o.left), o.op, OperandOf(o.right)});
  return calculation;
}

std::vector<double> ResultsOf(const Calculation& calculation) {
  std::vector<double> results;
  const auto value = [&](const CalculationOperand& o) { return o.operation < 0 ? o.number : results[o.operation]; };
  for (const CalculationStep& s : calculation) results.push_back(Calculate(value(s.left), s.op, value(s.right)));
  return results;
}

// The calculations between << and >> of a solution, each up to its =. Nothing when one of them is no calculation.
Calculation Annotated(std::string_view solution) {
  Calculation calculation;
  std::vector<double> results;
  const std::vector<std::string> parts = absl::StrSplit(absl::string_view(solution.data(), solution.size()), "<<");
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::string text = parts[i].substr(0, parts[i].find_first_of("=>"));
    if (!AddCalculation(text, &calculation, &results).ok()) return {};
  }
  return calculation;
}

class WordProblems final : public Environment {
 public:
  WordProblems(const proto::EnvironmentConfig& config, uint64_t seed) : config_(config), seed_(seed) {}

  // Printable ASCII, and the line's end: what a tokenizer of characters can be asked for.
  std::string alphabet() const override {
    std::string alphabet = "\n";
    for (char c = ' '; c <= '~'; ++c) alphabet += c;
    return alphabet;
  }

  absl::StatusOr<Task> MakeTask(proto::Split split, uint64_t index) const override {
    if (file_) return file_->Get(split, index);
    return DrawTask(config_, seed_, split, index, [this](RandomStream& random) { return Draw(random); });
  }

  std::string PlannerPrompt(const Task& task) const override { return absl::StrCat(kPlannerText, task.question); }

  bool StepIsWellFormed(std::string_view step) const override {
    const auto parts = SplitStep(step);
    return parts && IsOperand(parts->left) && IsOperand(parts->right);
  }

  std::string ExecutorPrompt(std::string_view filled_step) const override { return std::string(filled_step) + "="; }

  bool ResultIsWellFormed(std::string_view result) const override { return ParseNumber(result).has_value(); }

  double Reward(const Task& task, std::string_view answer) const override {
    const auto number = ParseNumber(answer), expected = ParseNumber(task.answer);
    return number && expected && SameNumber(*number, *expected) ? 1 : 0;
  }

  std::string ScriptedPlan(const Task& task, RandomStream* corrupt) const override {
    return corrupt == nullptr ? *task.plan : Corrupted(*task.plan, *corrupt);
  }

  std::string ScriptedStep(std::string_view step, RandomStream* corrupt) const override {
    const auto parts = SplitStep(step);
    if (!parts) return "";
    const auto left = ParseNumber(parts->left), right = ParseNumber(parts->right);
    if (!left || !right) return "";
    const double result = Calculate(*left, parts->op, *right);
    if (result != result) return "";
    return NumberText(corrupt == nullptr ? result : result + 1 + static_cast<double>(corrupt->Below(9)));
  }

  absl::Status ReadTasks(const std::string& path) {
    TANDEM_ASSIGN_OR_RETURN(
        TaskFile file, TaskFile::Read(path, config_, /*alphabet=*/"", [this](Task& task) { return Complete(task); }));
    static std::set<std::string>& warned =
        *new std::set<std::string>;  // a command opens its environment more than once
    const std::vector<int>& left_out = file.left_out();
    if (!left_out.empty() && warned.insert(path).second) {
      const std::vector<int> first(left_out.begin(), left_out.begin() + std::min<ptrdiff_t>(5, std::ssize(left_out)));
      LogWarning(path, ": ", left_out.size(), " tasks are left out, whose calculations are missing or do not lead to ",
                 "their answers: lines ", absl::StrJoin(first, ", "), left_out.size() > first.size() ? ", ..." : "");
    }
    file_ = std::move(file);
    return absl::OkStatus();
  }

 private:
  Task Draw(RandomStream& random) const {
    const uint32_t fewest = config_.min_operations(), most = config_.max_operations();
    const int operations = static_cast<int>(fewest + random.Below(most - fewest + 1));
    const Expression expression =
        DrawExpression(operations, config_.operators(), static_cast<int>(config_.max_operand()), random);
    const Calculation calculation = CalculationOf(expression);
    Task task;
    task.question = absl::StrCat("What is ", InWords(expression, {true, static_cast<int>(expression.size()) - 1}), "?");
    task.answer = NumberText(ResultsOf(calculation).back());
    task.plan = CalculationText(calculation);
    return task;
  }

  // From a line of a file to a task with a plan. False: it has none that leads to its answer.
  absl::StatusOr<bool> Complete(Task& task) const {
    const std::string solution = task.answer;
    const size_t mark = solution.rfind("####");
    task.answer =
        std::string(absl::StripAsciiWhitespace(mark == std::string::npos ? solution : solution.substr(mark + 4)));
    const auto answer = ParseNumber(task.answer);
    if (!answer) return absl::InvalidArgumentError(absl::StrCat("answer: \"", task.answer, "\" is not a number"));
    if (task.plan) return CheckPlan(task);
    const Calculation calculation = Annotated(solution);
    if (calculation.empty() || calculation.size() > std::min<size_t>(26, config_.max_nodes())) return false;
    task.plan = CalculationText(calculation);
    return SameNumber(ResultsOf(calculation).back(), *answer);
  }

  absl::StatusOr<bool> CheckPlan(const Task& task) const {
    PlanReader reader(static_cast<int>(config_.max_nodes()),
                      [this](std::string_view s) { return StepIsWellFormed(s); });
    reader.Feed(*task.plan);
    reader.End(/*finished=*/true);
    if (!reader.faulty() && PlanIsRight(reader.plan(), *this, task)) return true;
    if (!reader.faulty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("plan: \"", *task.plan, "\" does not come to the answer \"", task.answer, "\""));
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "plan: \"", *task.plan, "\" is faulty: ", std::string(PlanFaultName(reader.fault())), ", ", reader.detail()));
  }

  // Another operator somewhere, or a step too few.
  static std::string Corrupted(std::string plan, RandomStream& random) {
    std::vector<std::string> nodes = absl::StrSplit(plan, ';');
    if (nodes.size() > 1 && random.Below(3) == 0) {
      nodes.pop_back();
      return absl::StrJoin(nodes, ";");
    }
    std::string& node = nodes[random.Below(nodes.size())];
    const size_t op = node.find_first_of("+-*/", 3);  // after NAME= and what may be a sign
    if (op == std::string::npos) return plan.substr(0, plan.size() / 2);
    const std::string_view operators = "+-*/";
    node[op] = operators[(operators.find(node[op]) + 1 + random.Below(3)) % 4];
    return absl::StrJoin(nodes, ";");
  }

  const proto::EnvironmentConfig config_;
  const uint64_t seed_;
  std::optional<TaskFile> file_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Environment>> MakeWordProblems(const proto::EnvironmentConfig& config, uint64_t seed,
                                                              const std::string& directory) {
  if (config.min_operations() > config.max_operations() || config.max_operations() > config.max_nodes()) {
    return absl::InvalidArgumentError(absl::StrCat("environment.max_operations: expected min_operations (",
                                                   config.min_operations(), ") to max_nodes (", config.max_nodes(),
                                                   "), found ", config.max_operations()));
  }
  if (config.operators().empty() || config.operators().find_first_not_of("+-*") != std::string::npos) {
    return absl::InvalidArgumentError("environment.operators: expected some of + - *");
  }
  auto environment = std::make_unique<WordProblems>(config, seed);
  if (!config.tasks().empty()) {
    const bool absolute = config.tasks()[0] == '/' || directory.empty();
    const std::string path = absolute ? config.tasks() : absl::StrCat(directory, "/", config.tasks());
    TANDEM_RETURN_IF_ERROR(Annotate(environment->ReadTasks(path), "environment.tasks"));
  }
  return environment;
}

}  // namespace tandem
