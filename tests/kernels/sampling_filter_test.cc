#include "kernels/sampling_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"

namespace tandem::kernels {
namespace {

using ::testing::ElementsAre;

// The tokens that are left.
std::vector<int> Kept(const SamplingFilter& filter, std::vector<float> logits, float temperature = 1) {
  std::vector<int32_t> scratch;
  FilterLogits(filter, temperature, static_cast<int64_t>(logits.size()), logits.data(), &scratch);
  std::vector<int> kept;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isfinite(logits[i])) kept.push_back(static_cast<int>(i));
  }
  return kept;
}

std::vector<float> LogsOf(std::vector<float> probabilities) {
  for (float& p : probabilities) p = std::log(p);
  return probabilities;
}

const std::vector<float> kLogits = LogsOf({0.1f, 0.4f, 0.2f, 0.25f, 0.05f});

TEST(SamplingFilterTest, TopKKeepsTheMostLikelyAndTies) {
  EXPECT_THAT(Kept({.top_k = 2}, kLogits), ElementsAre(1, 3));
  EXPECT_THAT(Kept({.top_k = 5}, kLogits), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(Kept({.top_k = 99}, kLogits), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(Kept({.top_k = 2}, {1, 3, 1, 2, 2}), ElementsAre(1, 3, 4));
}

TEST(SamplingFilterTest, TopPKeepsAsFewAsReachTheShare) {
  EXPECT_THAT(Kept({.top_p = 0.39f}, kLogits), ElementsAre(1));
  EXPECT_THAT(Kept({.top_p = 0.6f}, kLogits), ElementsAre(1, 3));
  EXPECT_THAT(Kept({.top_p = 0.7f}, kLogits), ElementsAre(1, 2, 3));
  EXPECT_THAT(Kept({.top_p = 0}, kLogits), ElementsAre(1)) << "the likeliest stays";
}

TEST(SamplingFilterTest, TopPCountsAfterTemperatureAndTopK) {
  EXPECT_THAT(Kept({.top_p = 0.55f}, kLogits, 0.5f), ElementsAre(1)) << "a low temperature makes the first 0.60 likely";
  EXPECT_THAT(Kept({.top_k = 2, .top_p = 0.6f}, kLogits), ElementsAre(1)) << "0.4 of 0.65";
}

TEST(SamplingFilterTest, MinPComparesWithTheLikeliest) {
  EXPECT_THAT(Kept({.min_p = 0.45f}, kLogits), ElementsAre(1, 2, 3));
  EXPECT_THAT(Kept({.min_p = 1}, kLogits), ElementsAre(1));
}

TEST(SamplingFilterTest, TokensThatCannotBeDrawnStaySo) {
  const float none = -std::numeric_limits<float>::infinity();
  EXPECT_THAT(Kept({.top_k = 2}, {none, 1, none, 0, 2}), ElementsAre(1, 4));
  EXPECT_THAT(Kept({.top_p = 0.5f}, {none, none}), ElementsAre());
}

// Against the definition, word for word: sort, add up, cut.
TEST(SamplingFilterTest, TopPEqualsItsDefinition) {
  RandomStream random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> logits;
    for (uint64_t i = 0; i < 1 + random.Below(300); ++i) logits.push_back(static_cast<float>(8 * random.Uniform()));
    const float p = static_cast<float>(random.Uniform());
    std::vector<size_t> ascending(logits.size());
    for (size_t i = 0; i < logits.size(); ++i) ascending[i] = i;
    std::sort(ascending.begin(), ascending.end(), [&](size_t a, size_t b) { return logits[a] < logits[b]; });
    double sum = 0, below = 0;
    for (const float logit : logits) sum += std::exp(logit);
    std::vector<int> expected;
    for (size_t rank = 0; rank < ascending.size(); ++rank) {
      below += std::exp(static_cast<double>(logits[ascending[rank]]));
      if (below / sum > 1 - static_cast<double>(p) || rank + 1 == ascending.size()) {
        expected.push_back(static_cast<int>(ascending[rank]));
      }
    }
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(Kept({.top_p = p}, logits), expected) << "round " << round;
  }
}

}  // namespace
}  // namespace tandem::kernels
