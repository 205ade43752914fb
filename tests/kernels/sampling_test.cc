#include "kernels/sampling.h"

#include <limits>

#include "tests/kernels/device_test.h"

namespace tandem::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

class SamplingTest : public EveryDevice {
 protected:
  std::vector<Draw> Run(const std::vector<float>& logits, int64_t vocabulary, const std::vector<float>& temperatures,
                        const std::vector<float>& uniforms) {
    const int64_t rows = static_cast<int64_t>(uniforms.size());
    std::vector<Draw> draws(rows);
    if (!cuda()) {
      std::vector<float> scratch(SampleScratch(vocabulary));
      Sample(logits.data(), rows, vocabulary, temperatures.data(), uniforms.data(), scratch.data(), draws.data());
      return draws;
    }
    DeviceArray<float> in(logits), t(temperatures), u(uniforms);
    DeviceArray<Draw> out(draws);
    const absl::Status status = cuda::Sample(in.data(), rows, vocabulary, t.data(), u.data(), out.data(), nullptr);
    EXPECT_TRUE(status.ok()) << status;
    return out.Fetch();
  }
};
TANDEM_ON_EVERY_DEVICE(SamplingTest);

// The token is the one whose stretch of the cumulative distribution holds the uniform, up to rounding at its ends.
TEST_P(SamplingTest, AgreesWithAtensDistribution) {
  for (int64_t vocabulary : {1, 2, 15, 16, 24, 63, 64, 65, 130, 1000, 5000}) {
    for (float temperature : {1.0f, 0.3f, 2.5f}) {
      SCOPED_TRACE(testing::Message() << "vocabulary " << vocabulary << ", temperature " << temperature);
      const int64_t rows = 40;
      const std::vector<float> logits = RandomFloats(rows * vocabulary, static_cast<uint32_t>(vocabulary), 3);
      std::vector<float> uniforms(rows);
      for (int64_t row = 0; row < rows; ++row) uniforms[row] = static_cast<float>(row) / rows;
      uniforms.back() = 1 - 0x1p-24f;
      const std::vector<Draw> draws = Run(logits, vocabulary, std::vector<float>(rows, temperature), uniforms);
      const at::Tensor all = Double(logits, {rows, vocabulary});
      const at::Tensor sampled = at::log_softmax(all / double(temperature), 1), model = at::log_softmax(all, 1);
      const at::Tensor upper = sampled.exp().cumsum(1);
      for (int64_t row = 0; row < rows; ++row) {
        const int64_t token = draws[row].token;
        ASSERT_GE(token, 0);
        ASSERT_LT(token, vocabulary);
        const double logprob = sampled[row][token].item<double>();
        EXPECT_NEAR(draws[row].sampled_logprob, logprob, 1e-5 + 1e-6 * std::abs(logprob));
        EXPECT_NEAR(draws[row].model_logprob, model[row][token].item<double>(), 1e-5);
        const double above = upper[row][token].item<double>();
        EXPECT_LE(uniforms[row], above + 1e-5);
        EXPECT_GE(uniforms[row], above - std::exp(logprob) - 1e-5);
      }
    }
  }
}

TEST_P(SamplingTest, GreedyTakesTheFirstOfTheLargest) {
  const std::vector<float> logits = {0, 2, -1, 2, 1};
  const Draw draw = Run(logits, 5, {0}, {0.99f})[0];
  EXPECT_EQ(draw.token, 1);
  EXPECT_EQ(draw.sampled_logprob, 0);
  // log(e^2 / (1 + e^2 + e^-1 + e^2 + e)) = 2 - log(18.8642)
  EXPECT_NEAR(draw.model_logprob, 2 - std::log(1 + 2 * std::exp(2.0) + std::exp(-1.0) + std::exp(1.0)), 1e-6);
}

TEST_P(SamplingTest, NeverDrawsATokenOfProbabilityZero) {
  for (int64_t vocabulary : {24, 200}) {
    std::vector<float> logits(vocabulary, -kInfinity);
    logits[3] = 0.5f;
    logits[17] = -1000;  // underflows to probability 0
    logits[20] = 0.25f;
    for (float uniform : {0.0f, 0.3f, 0.56f, 0.57f, 0.999f, 1 - 0x1p-24f}) {
      const int32_t token = Run(logits, vocabulary, {1}, {uniform})[0].token;
      EXPECT_TRUE(token == 3 || token == 20) << token << " at " << uniform;
    }
  }
}

// Many uniforms close to 1 over sums that rounding makes smaller than their parts.
TEST_P(SamplingTest, RoundingAtTheEndFallsOnTheLastPossibleToken) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::vector<float> logits = RandomFloats(97, seed);
    logits[95] = logits[96] = -kInfinity;
    const int32_t token = Run(logits, 97, {1}, {1 - 0x1p-24f})[0].token;
    EXPECT_LT(token, 95) << "seed " << seed;
    EXPECT_GT(token, 80) << "seed " << seed;
  }
}

TEST_P(SamplingTest, TinyTemperatureIsTheLargestWithoutOverflow) {
  const Draw draw = Run({5, 90, 89.5f}, 3, {1e-30f}, {0.999f})[0];
  EXPECT_EQ(draw.token, 1);
  EXPECT_EQ(draw.sampled_logprob, 0);
}

TEST_P(SamplingTest, WithoutADistributionLogprobsAreNotANumber) {
  for (float bad : {kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    const Draw draw = Run({1, bad, 0}, 3, {1}, {0.5f})[0];
    EXPECT_EQ(draw.token, 0);
    EXPECT_TRUE(std::isnan(draw.sampled_logprob));
    EXPECT_TRUE(std::isnan(draw.model_logprob));
  }
  EXPECT_TRUE(std::isnan(Run({-kInfinity, -kInfinity}, 2, {1}, {0.5f})[0].model_logprob));
}

TEST_P(SamplingTest, RowsDoNotDependOnTheirBatch) {
  const int64_t vocabulary = 70, rows = 13;
  const std::vector<float> logits = RandomFloats(rows * vocabulary, 1), uniforms(rows, 0.4f);
  std::vector<float> temperatures(rows, 1);
  temperatures[3] = 0, temperatures[5] = 0.7f;
  const std::vector<Draw> all = Run(logits, vocabulary, temperatures, uniforms);
  for (int64_t row = 0; row < rows; ++row) {
    const std::vector<float> one(logits.begin() + row * vocabulary, logits.begin() + (row + 1) * vocabulary);
    const Draw draw = Run(one, vocabulary, {temperatures[row]}, {uniforms[row]})[0];
    EXPECT_EQ(std::memcmp(&draw, &all[row], sizeof(Draw)), 0) << row;
  }
}

}  // namespace
}  // namespace tandem::kernels
