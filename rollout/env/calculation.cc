#include "rollout/env/calculation.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/status.h"

namespace tandem {
namespace {

constexpr int kDeepestParentheses = 100;

bool OfNumber(char c) { return absl::ascii_isdigit(c) || c == '.' || c == ',' || c == '$' || c == '%'; }

// Recursive descent, as that of expressions over digits; a sign may stand where a unit begins.
class CalculationReader {
 public:
  CalculationReader(std::string_view text, Calculation* steps, std::vector<double>* results)
      : text_(text), steps_(*steps), results_(*results) {}

  absl::StatusOr<CalculationOperand> Read() {
    TANDEM_ASSIGN_OR_RETURN(const CalculationOperand value, Level(1));
    if (Peek() != '\0') return Unexpected("an operator");
    return value;
  }

 private:
  char Peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  absl::Status Unexpected(const char* wanted) const {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", std::string(text_), "\": expected ", wanted, " at character ", at_ + 1));
  }

  absl::StatusOr<CalculationOperand> Level(int precedence) {
    if (precedence > 2) return Unit();
    TANDEM_ASSIGN_OR_RETURN(CalculationOperand left, Level(precedence + 1));
    const std::string_view operators = precedence == 1 ? "+-" : "*/";
    while (Peek() != '\0' && operators.find(Peek()) != std::string_view::npos) {
      const char op = text_[at_++];
      TANDEM_ASSIGN_OR_RETURN(const CalculationOperand right, Level(precedence + 1));
      TANDEM_ASSIGN_OR_RETURN(left, Add({left, op, right}));
    }
    return left;
  }

  absl::StatusOr<CalculationOperand> Unit() {
    if (Peek() == '(') {
      if (++depth_ > kDeepestParentheses) return Unexpected("fewer parentheses");
      ++at_;
      TANDEM_ASSIGN_OR_RETURN(const CalculationOperand value, Level(1));
      if (Peek() != ')') return Unexpected(")");
      ++at_, --depth_;
      return value;
    }
    const size_t begin = at_;
    if (Peek() == '-') ++at_;
    const size_t digits = at_;
    while (at_ < text_.size() && OfNumber(text_[at_])) ++at_;
    const auto number = ParseNumber(text_.substr(begin, at_ - begin));
    if (at_ == digits || !number) return Unexpected("a number");
    const auto same =
        std::find_if(results_.rbegin(), results_.rend(), [&](double r) { return SameNumber(r, *number); });
    if (same == results_.rend()) return CalculationOperand{-1, *number};
    return CalculationOperand{static_cast<int>(results_.rend() - same) - 1, 0};
  }

  double Value(const CalculationOperand& operand) const {
    return operand.operation < 0 ? operand.number : results_[static_cast<size_t>(operand.operation)];
  }

  absl::StatusOr<CalculationOperand> Add(const CalculationStep& step) {
    const double result = Calculate(Value(step.left), step.op, Value(step.right));
    if (!std::isfinite(result)) return Unexpected("a divisor other than zero");
    steps_.push_back(step);
    results_.push_back(result);
    return CalculationOperand{static_cast<int>(steps_.size()) - 1, 0};
  }

  const std::string_view text_;
  Calculation& steps_;
  std::vector<double>& results_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

std::optional<double> ParseNumber(std::string_view written) {
  absl::string_view text = absl::StripAsciiWhitespace({written.data(), written.size()});
  const bool negative = absl::ConsumePrefix(&text, "-");
  absl::ConsumePrefix(&text, "$");
  const bool percent = absl::ConsumeSuffix(&text, "%");
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return OfNumber(c) && c != '$' && c != '%'; });
  double number = 0;
  if (text.empty() || !plain || !absl::SimpleAtod(absl::StrReplaceAll(text, {{",", ""}}), &number)) return std::nullopt;
  if (percent) number /= 100;
  return negative ? -number : number;
}

std::string NumberText(double number) { return absl::StrFormat("%.12g", number == 0 ? 0 : number); }

bool SameNumber(double a, double b) { return std::abs(a - b) <= 1e-9 * std::max({1.0, std::abs(a), std::abs(b)}); }

double Calculate(double left, char op, double right) {
  switch (op) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    default:
      return right == 0 ? std::nan("") : left / right;
  }
}

absl::StatusOr<CalculationOperand> AddCalculation(std::string_view text, Calculation* steps,
                                                  std::vector<double>* results) {
  return CalculationReader(text, steps, results).Read();
}

}  // namespace tandem
