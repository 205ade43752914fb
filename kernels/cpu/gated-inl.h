// The gate of swiglu.h, on a panel of sums: 16 gates, then the 16 values that they gate.
#include <cstdint>

#include "kernels/linear.h"

#if defined(TANDEM_KERNELS_CPU_GATED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TANDEM_KERNELS_CPU_GATED_INL_H_
#undef TANDEM_KERNELS_CPU_GATED_INL_H_
#else
#define TANDEM_KERNELS_CPU_GATED_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// silu(gate) * up. With e = exp(-|gate|) <= 1 nothing overflows.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Gated(D d, V gate, V up) {
  const V one = hn::Set(d, 1.0f);
  const V e = hn::Exp(d, hn::Neg(hn::Abs(gate)));
  const V numerator = hn::IfThenElse(hn::Ge(gate, hn::Zero(d)), one, e);
  return hn::Mul(hn::Mul(gate, hn::Div(numerator, hn::Add(one, e))), up);
}

// sums: [rows, 32] at `sums_stride`, aligned; bias: [32], or null; y: [rows, columns] at `stride`, columns <= 16.
HWY_INLINE void GatedRows(const float* sums, int64_t sums_stride, int64_t rows, int64_t columns, const float* bias,
                          float* y, int64_t stride) {
  const hn::CappedTag<float, 16> d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t r = 0; r < rows; ++r, sums += sums_stride, y += stride) {
    for (int64_t c = 0; c < columns; c += lanes) {
      auto gate = hn::Load(d, sums + c), up = hn::Load(d, sums + 16 + c);
      if (bias != nullptr) {
        gate = hn::Add(gate, hn::LoadU(d, bias + c));
        up = hn::Add(up, hn::LoadU(d, bias + 16 + c));
      }
      const auto value = Gated(d, gate, up);
      if (c + lanes <= columns) {
        hn::StoreU(value, d, y + c);
      } else {
        hn::BlendedStore(value, hn::FirstN(d, columns - c), d, y + c);
      }
    }
  }
}

}  // namespace tandem::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
