// Calculations over decimal numbers, one operation after the other: what a word problem's solution consists of.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem {

// A number, or the result of an earlier operation.
struct CalculationOperand {
  int operation = -1;  // index of the operation; -1: a number
  double number = 0;
  bool operator==(const CalculationOperand&) const = default;
};

struct CalculationStep {
  CalculationOperand left;
  char op = '+';  // one of + - * /
  CalculationOperand right;
  bool operator==(const CalculationStep&) const = default;
};

// Every operation comes after those that it refers to.
using Calculation = std::vector<CalculationStep>;

// "48", "-3.5", "1,200", "$18", "75%" (0.75); nullopt for anything else.
std::optional<double> ParseNumber(std::string_view text);
// The shortest decimal of at most 12 digits: "48", "-3.5", "0.333333333333".
std::string NumberText(double number);
// Whether two numbers are the same but for rounding.
bool SameNumber(double a, double b);

double Calculate(double left, char op, double right);  // division by zero: not a number

// Adds the operations of "(48-8)/2" to `steps` and returns its value as an operand. A number that an earlier operation
// resulted in is that result: `results[i]` belongs to step i, and is added to as well. kInvalidArgument names the
// character where it is none, or the division by zero.
absl::StatusOr<CalculationOperand> AddCalculation(std::string_view text, Calculation* steps,
                                                  std::vector<double>* results);

}  // namespace tandem
