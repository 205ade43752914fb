#include "rollout/env/calculation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace tandem {
namespace {

using ::testing::HasSubstr;

TEST(CalculationTest, NumbersArePlainOnesWithWhatPeopleWriteAroundThem) {
  EXPECT_EQ(ParseNumber("48"), 48);
  EXPECT_EQ(ParseNumber(" -3.5 "), -3.5);
  EXPECT_EQ(ParseNumber("1,200"), 1200);
  EXPECT_EQ(ParseNumber("$18"), 18);
  EXPECT_EQ(ParseNumber("75%"), 0.75);
  EXPECT_EQ(ParseNumber(".5"), 0.5);
  for (const char* none : {"", "-", "$", "%", "1e5", "0x10", "nan", "inf", "3 4", "3.4.5", "--3", "A"}) {
    EXPECT_EQ(ParseNumber(none), std::nullopt) << none;
  }
}

TEST(CalculationTest, ANumberIsWrittenAsShortAsItCanBe) {
  EXPECT_EQ(NumberText(24), "24");
  EXPECT_EQ(NumberText(-0.5), "-0.5");
  EXPECT_EQ(NumberText(0.1 + 0.2), "0.3");
  EXPECT_EQ(NumberText(-0.0), "0");
  EXPECT_EQ(NumberText(1.0 / 3), "0.333333333333");
}

TEST(CalculationTest, OperationsComeInTheOrderInWhichTheyAreCarriedOut) {
  Calculation steps;
  std::vector<double> results;
  ASSERT_TRUE(AddCalculation("(48 - 8)/2 + 3*-2", &steps, &results).ok());
  EXPECT_THAT(results, testing::ElementsAre(40, 20, -6, 14));
  EXPECT_EQ(steps[1], (CalculationStep{{0, 0}, '/', {-1, 2}}));
  EXPECT_EQ(steps[3], (CalculationStep{{1, 0}, '+', {2, 0}}));
}

TEST(CalculationTest, ANumberThatWasAResultRefersToIt) {
  Calculation steps;
  std::vector<double> results;
  ASSERT_TRUE(AddCalculation("48/2", &steps, &results).ok());
  ASSERT_TRUE(AddCalculation("48+24", &steps, &results).ok());
  EXPECT_EQ(steps[1], (CalculationStep{{-1, 48}, '+', {0, 0}}));
  const auto alone = AddCalculation("72", &steps, &results);
  ASSERT_TRUE(alone.ok());
  EXPECT_EQ(alone->operation, 1);
  EXPECT_EQ(steps.size(), 2u);
}

TEST(CalculationTest, WhatIsNoneNamesTheCharacter) {
  const auto error = [](const std::string& text) {
    Calculation steps;
    std::vector<double> results;
    return std::string(AddCalculation(text, &steps, &results).status().message());
  };
  EXPECT_THAT(error("48/"), HasSubstr("expected a number at character 4"));
  EXPECT_THAT(error("(1+2"), HasSubstr("expected ) at character 5"));
  EXPECT_THAT(error("1 2"), HasSubstr("expected an operator at character 3"));
  EXPECT_THAT(error("1/0"), HasSubstr("expected a divisor other than zero"));
  EXPECT_THAT(error(std::string(200, '(')), HasSubstr("fewer parentheses"));
}

}  // namespace
}  // namespace tandem
