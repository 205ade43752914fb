#include "policy/files/convert.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "policy/files/convert.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/highway.h>

// Plain loops without branches, which the compiler turns into SIMD for each instruction set (-O3, see CMakeLists.txt).
// All arithmetic is on integers, but for two exact subtractions and one addition of normal numbers, so that neither the
// instruction set nor a mode that flushes subnormal numbers to zero changes a bit.
HWY_BEFORE_NAMESPACE();
namespace tandem::convert::HWY_NAMESPACE {

HWY_INLINE uint16_t Load16(const unsigned char* in, int64_t i) {
  uint16_t bits;
  std::memcpy(&bits, in + 2 * i, sizeof bits);
  return bits;
}

HWY_INLINE void Store16(uint32_t bits, unsigned char* out, int64_t i) {
  const auto narrow = static_cast<uint16_t>(bits);
  std::memcpy(out + 2 * i, &narrow, sizeof narrow);
}

void Float32FromBF16(const unsigned char* in, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = std::bit_cast<float>(uint32_t{Load16(in, i)} << 16);
}

void Float32FromF16(const unsigned char* in, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t half = Load16(in, i);
    const uint32_t magnitude = half & 0x7fff, shifted = magnitude << 13;  // the mantissa where float32 has it
    const uint32_t normal = shifted + (uint32_t{127 - 15} << 23);
    // 2^-14 (1 + m) - 2^-14 = 2^-14 m, which is what a subnormal half means.
    constexpr uint32_t kLeastNormal = uint32_t{127 - 14} << 23;
    const float subnormal = std::bit_cast<float>(shifted + kLeastNormal) - std::bit_cast<float>(kLeastNormal);
    uint32_t bits = magnitude < 0x0400 ? std::bit_cast<uint32_t>(subnormal) : normal;
    bits = magnitude >= 0x7c00 ? (shifted | 0x7f800000) : bits;  // infinity and NaN
    out[i] = std::bit_cast<float>(bits | ((half & 0x8000) << 16));
  }
}

void BF16FromFloat32(const float* in, int64_t count, unsigned char* out) {
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<uint32_t>(in[i]);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const uint32_t quiet = (bits >> 16) | 0x0040;
    Store16((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded, out, i);
  }
}

void F16FromFloat32(const float* in, int64_t count, unsigned char* out) {
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<uint32_t>(in[i]);
    const uint32_t magnitude = bits & 0x7fffffff;
    const uint32_t normal = (magnitude - (uint32_t{127 - 15} << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    // Adding 1/2, whose last bit is worth 2^-24 as a subnormal half's is, lets the addition do the rounding.
    constexpr uint32_t kHalf = uint32_t{126} << 23;
    const uint32_t small = magnitude < 0x38800000 ? magnitude : 0;  // below 2^-14: the sum is meaningless above it
    const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(small) + 0.5f) - kHalf;
    const uint32_t nan = 0x7e00 | ((magnitude >> 13) & 0x1ff);
    uint32_t half = magnitude < 0x38800000 ? subnormal : normal;
    half = magnitude >= 0x47800000 ? 0x7c00 : half;  // 2^16 and more; from 65520 on rounding itself gives infinity
    half = magnitude > 0x7f800000 ? nan : half;
    Store16(half | ((bits >> 16) & 0x8000), out, i);
  }
}

}  // namespace tandem::convert::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem {
namespace convert {
HWY_EXPORT(Float32FromBF16);
HWY_EXPORT(Float32FromF16);
HWY_EXPORT(BF16FromFloat32);
HWY_EXPORT(F16FromFloat32);
}  // namespace convert

void ToFloat32(Dtype dtype, const void* in, int64_t count, float* out) {
  using namespace convert;
  const auto* bytes = static_cast<const unsigned char*>(in);
  switch (dtype) {
    case Dtype::kF32:
      if (count > 0) std::memcpy(out, in, static_cast<size_t>(count) * sizeof(float));
      return;
    case Dtype::kBF16:
      return HWY_DYNAMIC_DISPATCH(Float32FromBF16)(bytes, count, out);
    case Dtype::kF16:
      return HWY_DYNAMIC_DISPATCH(Float32FromF16)(bytes, count, out);
  }
}

void FromFloat32(const float* in, int64_t count, Dtype dtype, void* out) {
  using namespace convert;
  auto* bytes = static_cast<unsigned char*>(out);
  switch (dtype) {
    case Dtype::kF32:
      if (count > 0) std::memcpy(out, in, static_cast<size_t>(count) * sizeof(float));
      return;
    case Dtype::kBF16:
      return HWY_DYNAMIC_DISPATCH(BF16FromFloat32)(in, count, bytes);
    case Dtype::kF16:
      return HWY_DYNAMIC_DISPATCH(F16FromFloat32)(in, count, bytes);
  }
}

}  // namespace tandem
#endif
