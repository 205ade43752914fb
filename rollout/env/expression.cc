#include "rollout/env/expression.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

Operand Draw(int operations, std::string_view operators, int max_operand, RandomStream& random, Expression& into) {
  if (operations == 0) return {false, static_cast<int>(random.Below(max_operand + 1))};
  const int left_operations = static_cast<int>(random.Below(operations));
  Operation operation;
  operation.op = operators[random.Below(operators.size())];
  operation.left = Draw(left_operations, operators, max_operand, random, into);
  operation.right = Draw(operations - 1 - left_operations, operators, max_operand, random, into);
  into.push_back(operation);
  return {true, static_cast<int>(into.size()) - 1};
}

int Precedence(char op) { return op == '*' ? 2 : 1; }

void Write(const Expression& expression, Operand operand, int least_precedence, std::string& text) {
  if (!operand.reference) {
    absl::StrAppend(&text, operand.value);
    return;
  }
  const Operation& operation = expression[operand.value];
  const int precedence = Precedence(operation.op);
  const bool parentheses = precedence < least_precedence;
  if (parentheses) text += '(';
  Write(expression, operation.left, precedence, text);
  text += operation.op;
  // A right operand of the same precedence keeps its parentheses, or it would be read left to right.
  Write(expression, operation.right, precedence + 1, text);
  if (parentheses) text += ')';
}

// Recursive descent. A level's loop makes the operators of that level associate to the left.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  absl::StatusOr<Expression> Parse() {
    TANDEM_RETURN_IF_ERROR(Level(1).status());
    if (at_ != text_.size()) return Unexpected("an operator");
    if (expression_.empty()) return absl::InvalidArgumentError("there is no operation");
    return std::move(expression_);
  }

 private:
  static constexpr int kDeepest = 100;  // parentheses within parentheses

  absl::StatusOr<Operand> Level(int precedence) {
    if (precedence > 2) return Unit();
    TANDEM_ASSIGN_OR_RETURN(Operand left, Level(precedence + 1));
    while (at_ < text_.size() && IsOperator(text_[at_]) && Precedence(text_[at_]) == precedence) {
      const char op = text_[at_++];
      TANDEM_ASSIGN_OR_RETURN(const Operand right, Level(precedence + 1));
      expression_.push_back({left, op, right});
      left = {true, static_cast<int>(expression_.size()) - 1};
    }
    return left;
  }

  absl::StatusOr<Operand> Unit() {
    if (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') return Operand{false, text_[at_++] - '0'};
    if (at_ == text_.size() || text_[at_] != '(' || ++depth_ > kDeepest) return Unexpected("a digit or (");
    ++at_;
    TANDEM_ASSIGN_OR_RETURN(const Operand inner, Level(1));
    if (at_ == text_.size() || text_[at_] != ')') return Unexpected(")");
    ++at_;
    --depth_;
    return inner;
  }

  static bool IsOperator(char c) { return c == '+' || c == '-' || c == '*'; }

  absl::Status Unexpected(std::string_view expected) const {
    return absl::InvalidArgumentError(absl::StrCat("character ", at_ + 1, ": expected ", std::string(expected)));
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  Expression expression_;
};

}  // namespace

Expression DrawExpression(int operations, std::string_view operators, int max_operand, RandomStream& random) {
  TANDEM_CHECK(operations >= 1 && !operators.empty());
  Expression expression;
  expression.reserve(operations);
  Draw(operations, operators, max_operand, random, expression);
  return expression;
}

std::string ExpressionText(const Expression& expression) {
  std::string text;
  Write(expression, {true, static_cast<int>(expression.size()) - 1}, /*least_precedence=*/1, text);
  return text;
}

absl::StatusOr<Expression> ParseExpression(std::string_view text) { return Parser(text).Parse(); }

int Calculate(int left, char op, int right, int modulus) {
  const int value = op == '+' ? left + right : op == '-' ? left - right : left * right;
  return ((value % modulus) + modulus) % modulus;
}

int EvaluateExpression(const Expression& expression, int modulus) {
  std::vector<int> values;
  values.reserve(expression.size());
  auto value_of = [&](Operand operand) { return operand.reference ? values[operand.value] : operand.value; };
  for (const Operation& operation : expression) {
    values.push_back(Calculate(value_of(operation.left), operation.op, value_of(operation.right), modulus));
  }
  return values.back();
}

}  // namespace tandem
