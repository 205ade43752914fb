#include "kernels/bfloat16.h"

#include <limits>

#include "tests/kernels/instruction_set_test.h"

namespace tandem::kernels {
namespace {

TEST(BFloat16Test, RoundsLikeAten) {
  std::vector<float> values = RandomFloats(5000, 1);
  const float infinity = std::numeric_limits<float>::infinity();
  // Ties to even, both ways; the largest float rounds up to infinity; denormals.
  for (const float x : {0.0f, -0.0f, 0x1.01p0f, 0x1.03p0f, infinity, -infinity, 3.4e38f, 1e-40f}) values.push_back(x);
  const at::Tensor wanted = Double(values, {static_cast<int64_t>(values.size())}).to(at::kFloat).to(at::kBFloat16);
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(ToFloat(ToBFloat16(values[i])), wanted.data_ptr<at::BFloat16>()[i]) << values[i];
  }
  EXPECT_TRUE(std::isnan(ToFloat(ToBFloat16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace tandem::kernels
