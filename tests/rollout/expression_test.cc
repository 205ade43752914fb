#include "rollout/env/expression.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(ExpressionTest, WritesOnlyTheParenthesesThatKeepTheOrder) {
  struct Case {
    const char* text;
    int value;  // modulo 10
  };
  const Case cases[] = {
      {"(3+4)*2-5", 9},  // 7 * 2 - 5
      {"3+4*2-5", 6},    // 3 + 8 - 5
      {"1-(2-3)", 2},    // 1 - (-1), wrapped: 1 - 9 = -8
      {"1-2-3", 6},      // -4
      {"2*(3*4)", 4},    // 24; the right operand keeps its parentheses, so that the order of the steps stays
      {"0-1", 9},
  };
  for (const Case& c : cases) {
    const auto expression = ParseExpression(c.text);
    ASSERT_TRUE(expression.ok()) << c.text << ": " << expression.status();
    EXPECT_EQ(ExpressionText(*expression), c.text);
    EXPECT_EQ(EvaluateExpression(*expression, 10), c.value) << c.text;
  }
}

// The value by the text's own meaning, without the parser under test: innermost parentheses first, then products, then
// sums.
int ValueOfText(std::string text, int modulus) {
  auto mod = [&](int v) { return ((v % modulus) + modulus) % modulus; };
  for (size_t close; (close = text.find(')')) != std::string::npos;) {
    const size_t open = text.rfind('(', close);
    const int inner = ValueOfText(text.substr(open + 1, close - open - 1), modulus);
    text = text.substr(0, open) + std::to_string(inner) + text.substr(close + 1);
  }
  int sum = 0, product = text[0] - '0', sign = 1;
  for (size_t i = 1; i + 1 < text.size(); i += 2) {
    const int digit = text[i + 1] - '0';
    if (text[i] == '*') {
      product = mod(product * digit);
      continue;
    }
    sum += sign * product;
    sign = text[i] == '+' ? 1 : -1;
    product = digit;
  }
  return mod(sum + sign * product);
}

TEST(ExpressionTest, TextParsesToTheSameTreeAndHasTheSameValue) {
  const uint64_t seed = 11;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  RandomStream random(seed);
  for (int i = 0; i < 5000; ++i) {
    const int operations = 1 + static_cast<int>(random.Below(8));
    const int modulus = 2 + static_cast<int>(random.Below(9));
    const Expression expression = DrawExpression(operations, "+-*", modulus - 1, random);
    ASSERT_EQ(expression.size(), static_cast<size_t>(operations));
    const std::string text = ExpressionText(expression);
    const auto parsed = ParseExpression(text);
    ASSERT_TRUE(parsed.ok()) << text << ": " << parsed.status();
    ASSERT_EQ(*parsed, expression) << text;
    ASSERT_EQ(EvaluateExpression(expression, modulus), ValueOfText(text, modulus)) << text << " modulo " << modulus;
  }
}

TEST(ExpressionTest, NoPairOfParenthesesCanBeLeftOut) {
  const uint64_t seed = 12;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  RandomStream random(seed);
  for (int i = 0; i < 2000; ++i) {
    const Expression expression = DrawExpression(1 + static_cast<int>(random.Below(6)), "+-*", 9, random);
    const std::string text = ExpressionText(expression);
    for (size_t open = text.find('('); open != std::string::npos; open = text.find('(', open + 1)) {
      size_t close = open;
      for (int depth = 0; depth != 0 || close == open; ++close)
        depth += text[close] == '(' ? 1 : text[close] == ')' ? -1 : 0;
      std::string without = text;
      without.erase(close - 1, 1).erase(open, 1);
      const auto parsed = ParseExpression(without);
      ASSERT_TRUE(!parsed.ok() || *parsed != expression) << text << " says the same as " << without;
    }
  }
}

TEST(ExpressionTest, WhatIsNoExpressionIsAnErrorThatNamesTheCharacter) {
  for (const char* text : {"", "3", "+", "3+", "3+4)", "(3+4", "3++4", "34", "3+a", "()", "3(4)"}) {
    EXPECT_FALSE(ParseExpression(text).ok()) << text;
  }
  EXPECT_EQ(ParseExpression("3+a").status().message(), "character 3: expected a digit or (");
  EXPECT_FALSE(ParseExpression(std::string(100000, '(')).ok());  // and no overflow of the stack
}

}  // namespace
}  // namespace tandem
