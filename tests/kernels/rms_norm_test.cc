#include "kernels/rms_norm.h"

#include "tests/kernels/device_test.h"

namespace tandem::kernels {
namespace {

class RmsNormTest : public EveryDevice {
 protected:
  std::vector<float> Run(const std::vector<float>& x, int64_t size, const std::vector<float>& weight) {
    const int64_t rows = static_cast<int64_t>(x.size()) / size;
    std::vector<float> y(x.size());
    if (!cuda()) {
      RmsNorm(x.data(), rows, size, weight.data(), 1e-5f, y.data());
      return y;
    }
    DeviceArray<float> in(x), w(weight), out(y);
    const absl::Status status = cuda::RmsNorm(in.data(), rows, size, w.data(), 1e-5f, out.data(), nullptr);
    EXPECT_TRUE(status.ok()) << status;
    return out.Fetch();
  }
};
TANDEM_ON_EVERY_DEVICE(RmsNormTest);

TEST_P(RmsNormTest, AgreesWithAten) {
  for (int64_t size : {1, 3, 16, 31, 64, 100, 128, 2049}) {
    for (float scale : {1e-4f, 1.0f, 1e4f}) {
      SCOPED_TRACE(testing::Message() << "size " << size << ", scale " << scale);
      const std::vector<float> x = RandomFloats(5 * size, 1, scale), weight = RandomFloats(size, 2);
      const at::Tensor input = Double(x, {5, size});
      const at::Tensor wanted = input / at::sqrt(input.square().mean(1, true) + double(1e-5f)) * Double(weight, {size});
      ExpectClose(Run(x, size, weight), wanted, 1e-6, 3e-6);
    }
  }
}

TEST_P(RmsNormTest, RowsDoNotDependOnTheirBatch) {
  const int64_t size = 100;
  const std::vector<float> x = RandomFloats(9 * size, 1), weight = RandomFloats(size, 2);
  const std::vector<float> all = Run(x, size, weight);
  for (int64_t row = 0; row < 9; ++row) {
    const std::vector<float> one = Run({x.begin() + row * size, x.begin() + (row + 1) * size}, size, weight);
    EXPECT_EQ(std::memcmp(one.data(), all.data() + row * size, size * sizeof(float)), 0) << row;
  }
}

}  // namespace
}  // namespace tandem::kernels
