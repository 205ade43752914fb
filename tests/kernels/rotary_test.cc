#include "kernels/rotary.h"

#include <cmath>

#include "tests/kernels/instruction_set_test.h"

namespace tandem::kernels {
namespace {

class RotaryTest : public EveryInstructionSet {};
TANDEM_ON_EVERY_INSTRUCTION_SET(RotaryTest);

// Hugging Face: x * cos + rotate_half(x) * sin, rotate_half(x) = concat(-x2, x1), angles repeated over both halves.
TEST_P(RotaryTest, AgreesWithAtensRotateHalf) {
  const int64_t heads = 3;
  for (int64_t head_size : {2, 6, 8, 16, 20, 32, 64}) {
    const int64_t half = head_size / 2;
    for (int64_t position : {0, 1, 17, 39}) {
      SCOPED_TRACE(testing::Message() << "head size " << head_size << ", position " << position);
      const std::vector<float> x = RandomFloats(heads * head_size, 1);
      std::vector<float> y = x;
      std::vector<float> cosine, sine;
      for (int64_t i = 0; i < half; ++i) {
        const double angle = position * std::pow(10000, -2.0 * static_cast<double>(i) / static_cast<double>(head_size));
        cosine.push_back(static_cast<float>(std::cos(angle)));
        sine.push_back(static_cast<float>(std::sin(angle)));
      }
      Rotary(y.data(), heads, head_size, cosine.data(), sine.data());
      const auto options = at::TensorOptions(at::kDouble);
      const at::Tensor angle =
          at::pow(at::scalar_tensor(10000, options), at::arange(0, head_size, 2, options) / -double(head_size)) *
          position;
      const at::Tensor angles = at::cat({angle, angle});
      const at::Tensor input = Double(x, {heads, head_size});
      const at::Tensor turned = at::cat({-input.narrow(1, half, half), input.narrow(1, 0, half)}, 1);
      ExpectClose(y, input * angles.cos() + turned * angles.sin(), 1e-6, 1e-6);
    }
  }
}

}  // namespace
}  // namespace tandem::kernels
