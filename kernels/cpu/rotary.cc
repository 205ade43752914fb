#include "kernels/rotary.h"

#include "kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rotary.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void RotaryRow(float* HWY_RESTRICT x, int64_t heads, int64_t head_size, const float* HWY_RESTRICT cosine,
               const float* HWY_RESTRICT sine) {
  const hn::CappedTag<float, 8> d;  // the halves of small heads have 8 numbers
  const int64_t lanes = hn::Lanes(d), half = head_size / 2;
  for (int64_t head = 0; head < heads; ++head, x += head_size) {
    int64_t i = 0;
    for (; i + lanes <= half; i += lanes) {
      const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + half + i);
      const auto c = hn::LoadU(d, cosine + i), s = hn::LoadU(d, sine + i);
      hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, x + i);
      hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, x + half + i);
    }
    for (; i < half; ++i) {
      const float a = x[i], b = x[half + i];
      x[i] = a * cosine[i] - b * sine[i];
      x[half + i] = b * cosine[i] + a * sine[i];
    }
  }
}

}  // namespace tandem::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::kernels {
HWY_EXPORT(RotaryRow);

void Rotary(float* x, int64_t heads, int64_t head_size, const float* cosine, const float* sine) {
  HWY_DYNAMIC_DISPATCH(RotaryRow)(x, heads, head_size, cosine, sine);
}

}  // namespace tandem::kernels
#endif
