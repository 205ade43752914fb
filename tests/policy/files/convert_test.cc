#include "policy/files/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "kernels/instruction_set.h"

namespace tandem {
namespace {

// What 16 bits mean, from the formats' definitions.
double Meaning(Dtype dtype, uint16_t bits) {
  const int mantissa_bits = dtype == Dtype::kF16 ? 10 : 7, bias = dtype == Dtype::kF16 ? 15 : 127;
  const int all_ones = dtype == Dtype::kF16 ? 31 : 255;
  const int exponent = (bits & 0x7fff) >> mantissa_bits, mantissa = bits & ((1 << mantissa_bits) - 1);
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == all_ones && mantissa != 0) return std::numeric_limits<double>::quiet_NaN();
  if (exponent == all_ones) return sign * std::numeric_limits<double>::infinity();
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
}

// The nearest of all 65,536 numbers, by halving: positive ones are in the order of their bits.
uint16_t Nearest(Dtype dtype, float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::abs(static_cast<double>(value));
  const uint16_t infinity = dtype == Dtype::kF16 ? 0x7c00 : 0x7f80;
  uint16_t low = 0, high = infinity;  // low <= magnitude < high
  if (std::isinf(value)) return sign | infinity;
  while (high - low > 1) {
    const auto middle = static_cast<uint16_t>((low + high) / 2);
    (Meaning(dtype, middle) <= magnitude ? low : high) = middle;
  }
  // What infinity would be if the exponent went on: half way to it, rounding goes to infinity.
  const double above =
      high == infinity ? 2 * Meaning(dtype, dtype == Dtype::kF16 ? 0x7800 : 0x7f00) : Meaning(dtype, high);
  const double below = Meaning(dtype, low), down = magnitude - below, up = above - magnitude;
  if (down == up) return sign | (low % 2 == 0 ? low : high);
  return sign | (down < up ? low : high);
}

class ConvertTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { kernels::ForceInstructionSet(GetParam()); }
  void TearDown() override { kernels::ForceInstructionSet(""); }

  static void ExpectNearest(Dtype dtype, const std::vector<float>& values) {
    std::vector<uint16_t> found(values.size());
    FromFloat32(values.data(), static_cast<int64_t>(values.size()), dtype, found.data());
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(found[i], Nearest(dtype, values[i])) << DtypeName(dtype) << " of " << values[i];
    }
  }
};

TEST_P(ConvertTest, EveryNumberOf16BitsIsExactAsFloat32) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  std::vector<float> values(all.size());
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBF16}) {
    ToFloat32(dtype, all.data(), 65536, values.data());
    for (size_t i = 0; i < all.size(); ++i) {
      const double meaning = Meaning(dtype, all[i]);
      ASSERT_EQ(std::isnan(values[i]), std::isnan(meaning)) << DtypeName(dtype) << " " << i;
      ASSERT_EQ(std::signbit(values[i]), (i >> 15) == 1) << DtypeName(dtype) << " " << i;
      if (!std::isnan(meaning)) {
        ASSERT_EQ(static_cast<double>(values[i]), meaning) << DtypeName(dtype) << " " << i;
      }
    }
  }
}

TEST_P(ConvertTest, EveryNumberOf16BitsComesBack) {
  std::vector<uint16_t> all(65536), back(65536);
  std::vector<float> values(all.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBF16}) {
    ToFloat32(dtype, all.data(), 65536, values.data());
    FromFloat32(values.data(), 65536, dtype, back.data());
    const uint16_t quiet = dtype == Dtype::kF16 ? 0x0200 : 0x0040;
    for (size_t i = 0; i < all.size(); ++i) {
      const bool nan = std::isnan(values[i]);
      ASSERT_EQ(back[i], nan ? (all[i] | quiet) : all[i]) << DtypeName(dtype) << " " << i;
    }
  }
}

TEST_P(ConvertTest, HalfWayGoesToTheEvenNumber) {
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBF16}) {
    std::vector<float> values;
    const int infinity = dtype == Dtype::kF16 ? 0x7c00 : 0x7f80;
    for (int bits = 0; bits + 1 < infinity; ++bits) {
      const double low = Meaning(dtype, static_cast<uint16_t>(bits));
      const double high = Meaning(dtype, static_cast<uint16_t>(bits + 1));
      const auto middle = static_cast<float>((low + high) / 2);       // exact: one more bit than either
      if (static_cast<double>(middle) != (low + high) / 2) continue;  // but for bf16's subnormal numbers
      const float far = std::numeric_limits<float>::infinity();
      for (const float value : {middle, std::nextafter(middle, far), std::nextafter(middle, 0.0f)}) {
        values.push_back(value);
        values.push_back(-value);
      }
    }
    ExpectNearest(dtype, values);
  }
}

TEST_P(ConvertTest, AnyFloatGoesToTheNearest) {
  const uint64_t seed = 20240817;
  RandomStream random(seed);
  std::vector<float> values = {0.0f, -0.0f, 65504, 65519.996f, 65520, 65536, 1e38f, 3.4e38f, -3.4e38f, 6e-8f, 1e-45f};
  values.push_back(std::numeric_limits<float>::infinity());
  values.push_back(-std::numeric_limits<float>::infinity());
  while (values.size() < 100'003) {  // of no whole number of vectors
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(random.Next()));
    if (!std::isnan(value)) values.push_back(value);
    values.push_back(static_cast<float>(std::ldexp(random.Uniform() - 0.5, static_cast<int>(random.Below(60)) - 35)));
  }
  ExpectNearest(Dtype::kF16, values);
  ExpectNearest(Dtype::kBF16, values);
}

TEST_P(ConvertTest, NaNStaysNaN) {
  for (const uint32_t bits : {0x7f800001u, 0x7fc00000u, 0xff800001u, 0x7fffffffu, 0xffffffffu, 0x7f80ffffu}) {
    const auto nan = std::bit_cast<float>(bits);
    for (const Dtype dtype : {Dtype::kF32, Dtype::kF16, Dtype::kBF16}) {
      uint32_t stored = 0;
      float back = 0;
      FromFloat32(&nan, 1, dtype, &stored);
      ToFloat32(dtype, &stored, 1, &back);
      EXPECT_TRUE(std::isnan(back)) << DtypeName(dtype) << " " << bits;
      EXPECT_EQ(std::signbit(back), bits >> 31 == 1) << DtypeName(dtype) << " " << bits;
    }
  }
}

TEST_P(ConvertTest, BytesMayHaveAnyAlignment) {
  const std::vector<float> values = {1, -2, 0.5f, 1024, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
  for (const Dtype dtype : {Dtype::kF32, Dtype::kF16, Dtype::kBF16}) {
    for (size_t shift = 0; shift < 4; ++shift) {
      std::vector<char> bytes(shift + values.size() * 4);
      std::vector<float> back(values.size());
      FromFloat32(values.data(), static_cast<int64_t>(values.size()), dtype, bytes.data() + shift);
      ToFloat32(dtype, bytes.data() + shift, static_cast<int64_t>(values.size()), back.data());
      EXPECT_EQ(back, values) << DtypeName(dtype) << " at " << shift;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, ConvertTest, testing::ValuesIn(kernels::InstructionSets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tandem
