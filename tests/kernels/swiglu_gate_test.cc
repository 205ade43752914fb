// The gate of a SwiGLU layer alone, as the CUDA engine has it; the CPU's is fused with its linear layer
// (linear_test.cc).
#include "kernels/swiglu.h"
#include "tests/kernels/device_test.h"

namespace tandem::kernels {
namespace {

class SwiGluGateTest : public EveryDevice {};
TANDEM_ON_CUDA_TYPES(SwiGluGateTest);

TEST_P(SwiGluGateTest, AgreesWithAten) {
  const int64_t rows = 5;
  for (int64_t width : {1, 7, 64, 300}) {
    for (const bool with_bias : {false, true}) {
      SCOPED_TRACE(testing::Message() << "width " << width << ", bias " << with_bias);
      std::vector<float> x = Stored(RandomFloats(rows * 2 * width, 1, 3));
      x[0] = -200, x.back() = 8;  // exp(200) overflows
      const std::vector<float> bias = RandomFloats(2 * width, 2);
      at::Tensor sum = Double(x, {rows, 2 * width});
      if (with_bias) sum = sum + Double(bias, {2 * width});
      const at::Tensor gate = sum.narrow(1, 0, width), up = sum.narrow(1, width, width);
      WithType([&]<class T>(T) {
        DeviceArray<T> in(As<T>(x)), out(std::vector<T>(rows * width));
        DeviceArray<float> b(bias);
        ExpectOk(cuda::SwiGlu(in.data(), with_bias ? b.data() : nullptr, rows, width, out.data(), nullptr));
        ExpectClose(Floats(out.Fetch()), at::silu(gate) * up, 1e-6, relative());
        return 0;
      });
    }
  }
}

}  // namespace
}  // namespace tandem::kernels
