#include "kernels/linear.h"

#include <tuple>

#include "kernels/swiglu.h"
#include "tests/kernels/instruction_set_test.h"

namespace tandem::kernels {
namespace {

struct Layer {
  Layer(int64_t out, int64_t in, uint32_t seed) : weight(RandomFloats(out * in, seed)), packed(PackedSize(out, in)) {
    PackLinear(weight.data(), out, in, packed.data());
  }
  std::vector<float> weight, packed;
};

struct GateUp {
  GateUp(int64_t size, int64_t in)
      : gate(RandomFloats(size * in, 3)), up(RandomFloats(size * in, 4)), packed(PackedGateUpSize(size, in)) {
    PackGateUp(gate.data(), up.data(), size, in, packed.data());
  }
  std::vector<float> gate, up, packed;
};

class LinearTest : public EveryInstructionSet {};
TANDEM_ON_EVERY_INSTRUCTION_SET(LinearTest);

TEST_P(LinearTest, AgreesWithAtenForAllKindsOfSizes) {
  for (int64_t rows : {1, 2, 3, 4, 5, 11, 12, 13, 25}) {
    for (int64_t in : {1, 3, 64, 100}) {
      for (int64_t out : {1, 15, 24, 32, 33, 64, 100, 130, 160}) {
        SCOPED_TRACE(testing::Message() << rows << " rows, " << in << " in, " << out << " out");
        const Layer layer(out, in, 1);
        const std::vector<float> x = RandomFloats(rows * in, 2);
        // One float more than is to be written: it must stay as it is.
        std::vector<float> y(rows * out + 1, 0.5f), added(rows * out + 1, 0.5f);
        Linear(x.data(), rows, layer.packed.data(), in, out, y.data());
        LinearAdd(x.data(), rows, layer.packed.data(), in, out, added.data());
        EXPECT_EQ(y.back(), 0.5f);
        EXPECT_EQ(added.back(), 0.5f);
        y.pop_back(), added.pop_back();
        const at::Tensor wanted = at::matmul(Double(x, {rows, in}), Double(layer.weight, {out, in}).t());
        ExpectClose(y, wanted, 1e-5, 1e-5);
        ExpectClose(added, wanted + 0.5, 1e-5, 1e-5);
      }
    }
  }
}

TEST_P(LinearTest, SwiGluAgreesWithAten) {
  for (int64_t rows : {1, 3, 12, 17}) {
    for (int64_t in : {5, 64}) {
      for (int64_t size : {1, 16, 17, 40, 192}) {
        SCOPED_TRACE(testing::Message() << rows << " rows, " << in << " in, " << size << " out");
        const GateUp layer(size, in);
        const std::vector<float> x = RandomFloats(rows * in, 5);
        std::vector<float> y(rows * size + 1, 0.5f);
        LinearSwiGlu(x.data(), rows, layer.packed.data(), nullptr, in, size, y.data());
        EXPECT_EQ(y.back(), 0.5f);
        y.pop_back();
        const at::Tensor input = Double(x, {rows, in});
        const at::Tensor gate = at::matmul(input, Double(layer.gate, {size, in}).t());
        const at::Tensor up = at::matmul(input, Double(layer.up, {size, in}).t());
        ExpectClose(y, at::silu(gate) * up, 2e-5, 1e-5);
        const std::vector<float> gate_bias = RandomFloats(size, 7), up_bias = RandomFloats(size, 8);
        std::vector<float> bias(PackedGateUpSize(size, 1));
        PackGateUpBias(gate_bias.data(), up_bias.data(), size, bias.data());
        LinearSwiGlu(x.data(), rows, layer.packed.data(), bias.data(), in, size, y.data());
        ExpectClose(y, at::silu(gate + Double(gate_bias, {size})) * (up + Double(up_bias, {size})), 2e-5, 1e-5);
      }
    }
  }
}

TEST_P(LinearTest, SwiGluOfExtremeGatesIsFinite) {
  const GateUp layer(16, 1);
  for (float x : {-1e30f, -1000.f, 1000.f}) {
    std::vector<float> y(16);
    LinearSwiGlu(&x, 1, layer.packed.data(), nullptr, 1, 16, y.data());
    for (int i = 0; i < 16; ++i) {
      const double gate = static_cast<double>(x) * layer.gate[i], up = static_cast<double>(x) * layer.up[i];
      const double wanted = gate / (1 + std::exp(-gate)) * up;
      if (std::abs(wanted) < 1e38) {
        EXPECT_NEAR(y[i], wanted, 1e-5 * std::abs(wanted) + 1e-30) << gate;
      }
      EXPECT_FALSE(std::isnan(y[i]));
    }
  }
}

// Rows in batches of other sizes and at other places give the same bits.
TEST_P(LinearTest, RowsDoNotDependOnTheirBatch) {
  const int64_t rows = 61, in = 96, out = 120;
  const Layer layer(out, in, 1);
  const GateUp gated(out, in);
  const std::vector<float> x = RandomFloats(rows * in, 2), before = RandomFloats(rows * out, 6);
  std::vector<float> all(rows * out), all_added = before, all_gated(rows * out);
  Linear(x.data(), rows, layer.packed.data(), in, out, all.data());
  LinearAdd(x.data(), rows, layer.packed.data(), in, out, all_added.data());
  LinearSwiGlu(x.data(), rows, gated.packed.data(), nullptr, in, out, all_gated.data());
  for (int64_t size : {1, 2, 3, 4, 6, 7, 12, 13, 40}) {
    for (int64_t first = 0; first + size <= rows; first += 5) {
      std::vector<float> some(size * out), gates(size * out);
      std::vector<float> added(before.begin() + first * out, before.begin() + (first + size) * out);
      Linear(x.data() + first * in, size, layer.packed.data(), in, out, some.data());
      LinearAdd(x.data() + first * in, size, layer.packed.data(), in, out, added.data());
      LinearSwiGlu(x.data() + first * in, size, gated.packed.data(), nullptr, in, out, gates.data());
      const size_t bytes = some.size() * sizeof(float);
      ASSERT_EQ(std::memcmp(some.data(), all.data() + first * out, bytes), 0) << size << " rows from " << first;
      ASSERT_EQ(std::memcmp(added.data(), all_added.data() + first * out, bytes), 0) << size << " rows from " << first;
      ASSERT_EQ(std::memcmp(gates.data(), all_gated.data() + first * out, bytes), 0) << size << " rows from " << first;
    }
  }
}

TEST(LinearOrderTest, IsOneChainOfFusedMultiplyAddsInAscendingOrder) {
  if (InstructionSet() == "SSE4" || InstructionSet() == "SCALAR") GTEST_SKIP() << "no fused multiply-add on this CPU";
  const int64_t in = 77, out = 40;
  const Layer layer(out, in, 1);
  const std::vector<float> x = RandomFloats(5 * in, 2);
  std::vector<float> y(5 * out);
  Linear(x.data(), 5, layer.packed.data(), in, out, y.data());
  for (int64_t row = 0; row < 5; ++row) {
    for (int64_t column = 0; column < out; ++column) {
      float sum = 0;
      for (int64_t k = 0; k < in; ++k) sum = std::fma(x[row * in + k], layer.weight[column * in + k], sum);
      ASSERT_EQ(y[row * out + column], sum);
    }
  }
}

TEST(LinearEmptyTest, NoRowsAreNoWork) {
  const Layer layer(64, 8, 1);
  float untouched = 7;
  Linear(&untouched, 0, layer.packed.data(), 8, 64, &untouched);
  EXPECT_EQ(untouched, 7);
}

}  // namespace
}  // namespace tandem::kernels
