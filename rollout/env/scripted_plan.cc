#include "rollout/env/scripted_plan.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

void AppendOperand(Operand operand, std::string& text) {
  text += static_cast<char>((operand.reference ? 'A' : '0') + operand.value);
}

// The plan without the node `missing` (-1: with all of them).
std::string Write(const Expression& expression, int missing) {
  TANDEM_CHECK(expression.size() <= 26);
  std::string text;
  text.reserve(6 * expression.size());
  for (int i = 0; i < static_cast<int>(expression.size()); ++i) {
    if (i == missing) continue;
    if (!text.empty()) text += ';';
    text += static_cast<char>('A' + i);
    text += '=';
    AppendOperand(expression[i].left, text);
    text += expression[i].op;
    AppendOperand(expression[i].right, text);
  }
  return text;
}

// A number in 0 .. n - 1 other than `not_this`; n > 1.
int Other(int n, int not_this, RandomStream& random) {
  return (not_this + 1 + static_cast<int>(random.Below(n - 1))) % n;
}

bool ChangeOperator(Expression& expression, std::string_view operators, RandomStream& random) {
  if (operators.size() < 2) return false;
  char& op = expression[random.Below(expression.size())].op;
  const size_t now = operators.find(op);
  op = operators[Other(static_cast<int>(operators.size()), now == operators.npos ? 0 : static_cast<int>(now), random)];
  return true;
}

std::vector<Operand*> Operands(Expression& expression, bool reference) {
  std::vector<Operand*> operands;
  for (Operation& operation : expression) {
    if (operation.left.reference == reference) operands.push_back(&operation.left);
    if (operation.right.reference == reference) operands.push_back(&operation.right);
  }
  return operands;
}

bool ChangeOperand(Expression& expression, int max_operand, RandomStream& random) {
  const std::vector<Operand*> digits = Operands(expression, /*reference=*/false);
  Operand& digit = *digits[random.Below(digits.size())];  // an expression has at least two digits
  digit.value = Other(max_operand + 1, digit.value, random);
  return true;
}

// Another node in place of the right one: an earlier one where there is one, otherwise the operands change places.
bool ChangeReference(Expression& expression, RandomStream& random) {
  if (expression.size() < 2) return false;
  const size_t at = 1 + random.Below(expression.size() - 1);
  Operation& operation = expression[at];
  if (!operation.left.reference && !operation.right.reference) return false;
  Operand& reference = operation.left.reference ? operation.left : operation.right;
  if (at >= 2) {
    reference.value = Other(static_cast<int>(at), reference.value, random);
    return true;
  }
  if (operation.op != '-' || operation.left == operation.right) return false;  // elsewhere the order does not matter
  std::swap(operation.left, operation.right);
  return true;
}

}  // namespace

std::string PlanText(const Expression& expression) { return Write(expression, /*missing=*/-1); }

std::string CorruptPlanText(const Expression& expression, std::string_view operators, int max_operand,
                            RandomStream& random) {
  const double kind = random.Uniform();
  Expression changed = expression;
  if (kind < 0.05) {
    std::string text = PlanText(expression);
    return text.erase(random.Below(text.size()), 1);
  }
  if (kind < 0.15 && expression.size() > 1) return Write(expression, static_cast<int>(random.Below(expression.size())));
  if (kind < 0.40 && ChangeReference(changed, random)) return PlanText(changed);
  if (kind < 0.70 && ChangeOperator(changed, operators, random)) return PlanText(changed);
  ChangeOperand(changed, max_operand, random);
  return PlanText(changed);
}

}  // namespace tandem
