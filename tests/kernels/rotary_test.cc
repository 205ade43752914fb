#include "kernels/rotary.h"

#include <cmath>

#include "tests/kernels/device_test.h"

namespace tandem::kernels {
namespace {

class RotaryTest : public EveryDevice {
 protected:
  // x turned as at the position whose angles are the last of cosine and sine.
  std::vector<float> Run(std::vector<float> x, int64_t heads, int64_t head_size, const std::vector<float>& cosine,
                         const std::vector<float>& sine) {
    const int64_t half = head_size / 2, position = static_cast<int64_t>(cosine.size()) / half - 1;
    if (!cuda()) {
      Rotary(x.data(), heads, head_size, cosine.data() + position * half, sine.data() + position * half);
      return x;
    }
    return WithType([&]<class T>(T) {  // twice the same row: the second one's place is not the first's
      std::vector<float> twice = x;
      twice.insert(twice.end(), x.begin(), x.end());
      DeviceArray<T> turned(As<T>(twice));
      DeviceArray<float> c(cosine), s(sine);
      DeviceArray<int32_t> positions({0, static_cast<int32_t>(position)});
      ExpectOk(cuda::Rotary(turned.data(), 2, heads, head_size, positions.data(), c.data(), s.data(), nullptr));
      const std::vector<float> both = Floats(turned.Fetch());
      const auto middle = both.begin() + static_cast<std::ptrdiff_t>(x.size());
      EXPECT_EQ(std::vector<float>(both.begin(), middle), Stored(x)) << "position 0 turns nothing";
      return std::vector<float>(middle, both.end());
    });
  }
};
TANDEM_ON_EVERY_DEVICE_AND_TYPE(RotaryTest);

// Hugging Face: x * cos + rotate_half(x) * sin, rotate_half(x) = concat(-x2, x1), angles repeated over both halves.
TEST_P(RotaryTest, AgreesWithAtensRotateHalf) {
  const int64_t heads = 3;
  for (int64_t head_size : {2, 6, 8, 16, 20, 32, 64}) {
    const int64_t half = head_size / 2;
    for (int64_t position : {0, 1, 17, 39}) {
      SCOPED_TRACE(testing::Message() << "head size " << head_size << ", position " << position);
      const std::vector<float> x = Stored(RandomFloats(heads * head_size, 1));
      std::vector<float> cosine, sine;
      for (int64_t p = 0; p <= position; ++p) {
        for (int64_t i = 0; i < half; ++i) {
          const double angle = double(p) * std::pow(10000, -2.0 * static_cast<double>(i) / double(head_size));
          cosine.push_back(static_cast<float>(std::cos(angle)));
          sine.push_back(static_cast<float>(std::sin(angle)));
        }
      }
      const std::vector<float> y = Run(x, heads, head_size, cosine, sine);
      const auto options = at::TensorOptions(at::kDouble);
      const at::Tensor angle =
          at::pow(at::scalar_tensor(10000, options), at::arange(0, head_size, 2, options) / -double(head_size)) *
          position;
      const at::Tensor angles = at::cat({angle, angle});
      const at::Tensor input = Double(x, {heads, head_size});
      const at::Tensor turned = at::cat({-input.narrow(1, half, half), input.narrow(1, 0, half)}, 1);
      ExpectClose(y, input * angles.cos() + turned * angles.sin(), 1e-6, relative(1e-6));
    }
  }
}

}  // namespace
}  // namespace tandem::kernels
