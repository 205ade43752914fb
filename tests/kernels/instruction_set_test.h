// Tests that run on every SIMD variant that this CPU supports.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "kernels/instruction_set.h"

namespace tandem::kernels {

class EveryInstructionSet : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { ForceInstructionSet(GetParam()); }
  void TearDown() override { ForceInstructionSet(""); }
};

#define TANDEM_ON_EVERY_INSTRUCTION_SET(suite)                                                  \
  INSTANTIATE_TEST_SUITE_P(Cpu, suite, testing::ValuesIn(::tandem::kernels::InstructionSets()), \
                           [](const auto& info) { return info.param; })

// Normal numbers that depend on the seed alone.
inline std::vector<float> RandomFloats(int64_t size, uint32_t seed, float scale = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(size);
  for (float& value : values) value = normal(generator);
  return values;
}

// A float64 tensor of the values.
inline at::Tensor Double(const std::vector<float>& values, at::IntArrayRef shape) {
  return at::from_blob(const_cast<float*>(values.data()), shape, at::kFloat).to(at::kDouble);
}

// Expects |values - reference| <= absolute + relative |reference| for every element.
inline void ExpectClose(const std::vector<float>& values, const at::Tensor& reference, double absolute,
                        double relative) {
  const at::Tensor flat = reference.reshape({-1}).contiguous();
  ASSERT_EQ(flat.numel(), static_cast<int64_t>(values.size()));
  for (int64_t i = 0; i < flat.numel(); ++i) {
    const double wanted = flat.data_ptr<double>()[i];
    ASSERT_NEAR(values[i], wanted, absolute + relative * std::abs(wanted)) << "at " << i;
  }
}

}  // namespace tandem::kernels
