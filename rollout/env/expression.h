// Arithmetic over digits: + - *, left-associative, * before + and -. The unit that a question asks for and a plan takes
// apart.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/random.h"

namespace tandem {

// A digit, or the result of an earlier operation.
struct Operand {
  bool reference = false;
  int value = 0;  // the digit, or the index of the operation
  bool operator==(const Operand&) const = default;
};

struct Operation {
  Operand left;
  char op = '+';
  Operand right;
  bool operator==(const Operation&) const = default;
};

// The operations of an expression in post-order: every operation comes after those it refers to, the last one is the
// value. Each but the last is referred to once. Never empty.
using Expression = std::vector<Operation>;

// A random expression of `operations` >= 1 operations: the operations left and right of the root are split evenly.
// Operators are drawn from `operators`, digits from 0 to `max_operand`.
Expression DrawExpression(int operations, std::string_view operators, int max_operand, RandomStream& random);

// With as few parentheses as keep the order of the operations: "(3+4)*2-5", "1-(2-3)".
std::string ExpressionText(const Expression& expression);

// The expression that ExpressionText writes as `text`. kInvalidArgument names the character where it is none.
absl::StatusOr<Expression> ParseExpression(std::string_view text);

// The value in 0 .. modulus - 1; subtraction wraps.
int Calculate(int left, char op, int right, int modulus);
int EvaluateExpression(const Expression& expression, int modulus);

}  // namespace tandem
