#include "kernels/packed_linear.h"

#include <cstring>
#include <limits>

#include "kernels/swiglu.h"
#include "tests/kernels/instruction_set_test.h"

namespace tandem::kernels {
namespace {

constexpr WeightType kWeightTypes[] = {WeightType::kFloat32, WeightType::kBf16, WeightType::kInt8};
const char* Name(WeightType type) {
  return type == WeightType::kFloat32 ? "float32" : type == WeightType::kBf16 ? "bf16" : "int8";
}

// Memory for packed weights and scratch that starts on a cache line.
class AlignedMemory {
 public:
  explicit AlignedMemory(int64_t size) : bytes_(static_cast<size_t>(size) + 64) {}
  void* data() {
    const auto address = reinterpret_cast<uintptr_t>(bytes_.data());
    return bytes_.data() + ((address + 63) / 64 * 64 - address);
  }

 private:
  std::vector<std::byte> bytes_;
};

struct PackedLayer {
  PackedLayer(WeightType type, int64_t out, int64_t in)
      : weight(RandomFloats(out * in, 1)), memory(PackedBytes(type, out, in)) {
    packed = Pack(type, weight.data(), out, in, memory.data());
  }
  std::vector<float> weight;
  AlignedMemory memory;
  PackedLinear packed;
};

struct PackedGates {
  PackedGates(WeightType type, int64_t size, int64_t in)
      : gate(RandomFloats(size * in, 3)), up(RandomFloats(size * in, 4)), memory(PackedGateUpBytes(type, size, in)) {
    packed = PackGateUp(type, gate.data(), up.data(), size, in, memory.data());
  }
  std::vector<float> gate, up;
  AlignedMemory memory;
  PackedLinear packed;
};

// What the numbers of rows or outputs are worth in the type, in float64. For int8: round(x * 127 / max) * max / 127.
at::Tensor Rounded(WeightType type, const std::vector<float>& values, int64_t rows) {
  const at::Tensor exact =
      at::from_blob(const_cast<float*>(values.data()), {rows, static_cast<int64_t>(values.size()) / rows}, at::kFloat);
  if (type == WeightType::kFloat32) return exact.to(at::kDouble);
  if (type == WeightType::kBf16) return exact.to(at::kBFloat16).to(at::kDouble);
  const at::Tensor most = exact.abs().amax(1, /*keepdim=*/true), scale = most / 127;
  const at::Tensor inverse = at::where(most.gt(0), 127 / most, at::zeros_like(most));
  return (exact * inverse).round().to(at::kDouble) * scale.to(at::kDouble);
}

class PackedLinearTest : public EveryInstructionSet {};
TANDEM_ON_EVERY_INSTRUCTION_SET(PackedLinearTest);

// The products of what the rounded numbers are worth, up to the rounding of float32 sums.
TEST_P(PackedLinearTest, AgreesWithAtenForAllKindsOfSizes) {
  for (const WeightType type : kWeightTypes) {
    for (int64_t rows : {1, 12, 17, 70}) {
      for (int64_t in : {1, 7, 100, 200}) {
        for (int64_t out : {1, 32, 100}) {
          SCOPED_TRACE(testing::Message() << Name(type) << " " << rows << " rows, " << in << " in, " << out << " out");
          PackedLayer layer(type, out, in);
          AlignedMemory scratch(LinearScratch(type, rows, in));
          const std::vector<float> x = RandomFloats(rows * in, 2), bias = RandomFloats(out, 9);
          // One float more than is to be written: it must stay as it is.
          std::vector<float> y(rows * out + 1, 0.5f), added(rows * out + 1, 0.5f), biased(rows * out);
          Linear(layer.packed, nullptr, x.data(), rows, scratch.data(), y.data());
          LinearAdd(layer.packed, bias.data(), x.data(), rows, scratch.data(), added.data());
          Linear(layer.packed, bias.data(), x.data(), rows, scratch.data(), biased.data());
          EXPECT_EQ(y.back(), 0.5f);
          EXPECT_EQ(added.back(), 0.5f);
          y.pop_back(), added.pop_back();
          const at::Tensor wanted = at::matmul(Rounded(type, x, rows), Rounded(type, layer.weight, out).t());
          ExpectClose(y, wanted, 2e-5, 1e-5);
          ExpectClose(added, wanted + 0.5 + Double(bias, {out}), 2e-5, 1e-5);
          ExpectClose(biased, wanted + Double(bias, {out}), 2e-5, 1e-5);
        }
      }
    }
  }
}

TEST_P(PackedLinearTest, SwiGluAgreesWithAten) {
  for (const WeightType type : kWeightTypes) {
    for (int64_t rows : {1, 3, 17, 40}) {
      for (int64_t size : {1, 16, 17, 40}) {
        SCOPED_TRACE(testing::Message() << Name(type) << " " << rows << " rows, " << size << " out");
        const int64_t in = 72;
        PackedGates layer(type, size, in);
        AlignedMemory scratch(LinearScratch(type, rows, in));
        const std::vector<float> x = RandomFloats(rows * in, 5), gate_bias = RandomFloats(size, 7),
                                 up_bias = RandomFloats(size, 8);
        std::vector<float> y(rows * size + 1, 0.5f), bias(PackedGateUpSize(size, 1));
        PackGateUpBias(gate_bias.data(), up_bias.data(), size, bias.data());
        LinearSwiGlu(layer.packed, nullptr, x.data(), rows, scratch.data(), y.data());
        EXPECT_EQ(y.back(), 0.5f);
        y.pop_back();
        const at::Tensor input = Rounded(type, x, rows);
        const at::Tensor gate = at::matmul(input, Rounded(type, layer.gate, size).t());
        const at::Tensor up = at::matmul(input, Rounded(type, layer.up, size).t());
        ExpectClose(y, at::silu(gate) * up, 1e-4, 2e-5);
        LinearSwiGlu(layer.packed, bias.data(), x.data(), rows, scratch.data(), y.data());
        ExpectClose(y, at::silu(gate + Double(gate_bias, {size})) * (up + Double(up_bias, {size})), 1e-4, 2e-5);
      }
    }
  }
}

// Rows in batches of other sizes and at other places give the same bits.
TEST_P(PackedLinearTest, RowsDoNotDependOnTheirBatch) {
  const int64_t rows = 75, in = 96, out = 120;
  for (const WeightType type : kWeightTypes) {
    PackedLayer layer(type, out, in);
    PackedGates gated(type, out, in);
    AlignedMemory scratch(LinearScratch(type, rows, in));
    const std::vector<float> x = RandomFloats(rows * in, 2), before = RandomFloats(rows * out, 6);
    std::vector<float> all_added = before, all_gated(rows * out);
    LinearAdd(layer.packed, nullptr, x.data(), rows, scratch.data(), all_added.data());
    LinearSwiGlu(gated.packed, nullptr, x.data(), rows, scratch.data(), all_gated.data());
    for (int64_t size : {1, 2, 3, 12, 13, 16, 17, 33}) {
      for (int64_t first = 0; first + size <= rows; first += 7) {
        std::vector<float> gates(size * out);
        std::vector<float> added(before.begin() + first * out, before.begin() + (first + size) * out);
        LinearAdd(layer.packed, nullptr, x.data() + first * in, size, scratch.data(), added.data());
        LinearSwiGlu(gated.packed, nullptr, x.data() + first * in, size, scratch.data(), gates.data());
        const size_t bytes = added.size() * sizeof(float);
        ASSERT_EQ(std::memcmp(added.data(), all_added.data() + first * out, bytes), 0)
            << Name(type) << " " << size << " rows from " << first;
        ASSERT_EQ(std::memcmp(gates.data(), all_gated.data() + first * out, bytes), 0)
            << Name(type) << " " << size << " rows from " << first;
      }
    }
  }
}

// A number that is none, or is infinite, makes its row not a number (or infinite), and no other row.
TEST_P(PackedLinearTest, WhatIsNotANumberStaysInItsRow) {
  const int64_t rows = 3, in = 40, out = 33;
  for (const WeightType type : kWeightTypes) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      PackedLayer layer(type, out, in);
      AlignedMemory scratch(LinearScratch(type, rows, in));
      std::vector<float> x = RandomFloats(rows * in, 2), y(rows * out);
      x[in + 7] = bad;
      Linear(layer.packed, nullptr, x.data(), rows, scratch.data(), y.data());
      for (int64_t i = 0; i < rows * out; ++i) EXPECT_EQ(std::isfinite(y[i]), i / out != 1) << Name(type) << " " << i;
    }
  }
}

// The integers of int8 layers are exact, so that all instruction sets agree to the bit.
TEST(PackedLinearInt8Test, DoesNotDependOnTheInstructionSet) {
  const int64_t rows = 20, in = 333, out = 70;
  const std::vector<float> x = RandomFloats(rows * in, 2);
  std::vector<float> first;
  for (const std::string& instructions : InstructionSets()) {
    ForceInstructionSet(instructions);
    PackedLayer layer(WeightType::kInt8, out, in);
    AlignedMemory scratch(LinearScratch(WeightType::kInt8, rows, in));
    std::vector<float> y(rows * out);
    Linear(layer.packed, nullptr, x.data(), rows, scratch.data(), y.data());
    if (first.empty()) first = y;
    EXPECT_EQ(y, first) << instructions;
  }
  ForceInstructionSet("");
}

TEST(PackedLinearZeroTest, RowsAndOutputsOfNothingButZerosAreZero) {
  for (const WeightType type : kWeightTypes) {
    std::vector<float> weight(40 * 8, 0.0f), x(2 * 8, 0.0f), y(2 * 40, 1.0f);
    AlignedMemory memory(PackedBytes(type, 40, 8)), scratch(LinearScratch(type, 2, 8));
    const PackedLinear layer = Pack(type, weight.data(), 40, 8, memory.data());
    Linear(layer, nullptr, x.data(), 2, scratch.data(), y.data());
    for (const float value : y) EXPECT_EQ(value, 0);
  }
}

}  // namespace
}  // namespace tandem::kernels
