// The scripted planner of dag-calc: an expression's operations as a plan, and plans with an error in them.
#pragma once

#include <string>
#include <string_view>

#include "base/random.h"
#include "rollout/env/expression.h"

namespace tandem {

// In post-order, with the names A, B, C, ...: "A=3+4;B=A*2;C=B-5". At most 26 operations.
std::string PlanText(const Expression& expression);

// A plan that differs from PlanText(expression) in one thing: an operator, an operand, a reference, a node that is
// missing, or a character that is. Mostly still well-formed.
std::string CorruptPlanText(const Expression& expression, std::string_view operators, int max_operand,
                            RandomStream& random);

}  // namespace tandem
