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
    return WithType([&]<class T>(T) {
      DeviceArray<T> in(As<T>(x)), out(As<T>(y));
      DeviceArray<float> w(weight);
      ExpectOk(cuda::RmsNorm(in.data(), rows, size, w.data(), 1e-5f, out.data(), nullptr));
      return Floats(out.Fetch());
    });
  }
};
TANDEM_ON_EVERY_DEVICE_AND_TYPE(RmsNormTest);

TEST_P(RmsNormTest, AgreesWithAten) {
  for (int64_t size : {1, 3, 16, 31, 64, 100, 128, 2049}) {
    for (float scale : {1e-4f, 1.0f, 1e4f}) {
      SCOPED_TRACE(testing::Message() << "size " << size << ", scale " << scale);
      const std::vector<float> x = Stored(RandomFloats(5 * size, 1, scale)), weight = RandomFloats(size, 2);
      const at::Tensor input = Double(x, {5, size});
      const at::Tensor wanted = input / at::sqrt(input.square().mean(1, true) + double(1e-5f)) * Double(weight, {size});
      ExpectClose(Run(x, size, weight), wanted, 1e-6, relative());
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

class AddRmsNormTest : public EveryDevice {};
TANDEM_ON_CUDA_TYPES(AddRmsNormTest);

TEST_P(AddRmsNormTest, AgreesWithAten) {
  const int64_t rows = 3;
  for (int64_t size : {1, 31, 64, 300, 896}) {
    for (const bool with_delta : {false, true}) {
      for (const bool with_bias : {false, with_delta}) {
        SCOPED_TRACE(testing::Message() << "size " << size << ", delta " << with_delta << ", bias " << with_bias);
        const std::vector<float> x = RandomFloats(rows * size, 1), delta = Stored(RandomFloats(rows * size, 2));
        const std::vector<float> bias = RandomFloats(size, 3), weight = RandomFloats(size, 4);
        at::Tensor sum = Double(x, {rows, size});
        if (with_delta) sum = sum + Double(delta, {rows, size});
        if (with_bias) sum = sum + Double(bias, {size});
        const at::Tensor norm = sum / at::sqrt(sum.square().mean(1, true) + 1e-6) * Double(weight, {size});
        WithType([&]<class T>(T) {
          DeviceArray<float> sums(x), b(bias), w(weight);
          DeviceArray<T> d(As<T>(delta)), y(std::vector<T>(x.size()));
          ExpectOk(cuda::AddRmsNorm(sums.data(), with_delta ? d.data() : nullptr, with_bias ? b.data() : nullptr, rows,
                                    size, w.data(), 1e-6f, y.data(), nullptr));
          ExpectClose(sums.Fetch(), sum, 1e-6, 1e-6);
          ExpectClose(Floats(y.Fetch()), norm, 2e-6, relative());
          return 0;
        });
      }
    }
  }
}

}  // namespace
}  // namespace tandem::kernels
