// Panels in portable SIMD: bf16 numbers widened to float32, 8-bit ones to int32.
#include "kernels/cpu/dot_panel.h"
#include "kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/dot_portable.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Groups = hn::CappedTag<uint32_t, 16>;
constexpr int kDotRows = 4;

struct Bf16Dot {
  using Sum = float;
  using D = hn::Rebind<float, Groups>;
  using V = hn::Vec<D>;
  // The lower number of a pair first, then the upper one.
  static HWY_INLINE V Add(V sum, hn::Vec<Groups> x, hn::Vec<Groups> w) {
    const Groups d;
    const D df;
    const auto upper = hn::Set(d, 0xFFFF0000u);
    sum = hn::MulAdd(hn::BitCast(df, hn::ShiftLeft<16>(x)), hn::BitCast(df, hn::ShiftLeft<16>(w)), sum);
    return hn::MulAdd(hn::BitCast(df, hn::And(x, upper)), hn::BitCast(df, hn::And(w, upper)), sum);
  }
};

struct Int8Dot {
  using Sum = int32_t;
  using D = hn::Rebind<int32_t, Groups>;
  using V = hn::Vec<D>;
  template <int kLeft>
  static HWY_INLINE V Product(V sum, hn::Vec<Groups> x, hn::Vec<Groups> w) {
    const D di;
    const auto unsigned_x = hn::BitCast(di, hn::ShiftRight<24>(hn::ShiftLeft<kLeft>(x)));
    const auto signed_w = hn::ShiftRight<24>(hn::BitCast(di, hn::ShiftLeft<kLeft>(w)));
    return hn::Add(sum, hn::Mul(unsigned_x, signed_w));
  }
  static HWY_INLINE V Add(V sum, hn::Vec<Groups> x, hn::Vec<Groups> w) {
    return Product<0>(Product<8>(Product<16>(Product<24>(sum, x, w), x, w), x, w), x, w);
  }
};

template <class Dot, int kRows>
HWY_NOINLINE void DotTile(const uint32_t* HWY_RESTRICT x, int64_t groups, const uint32_t* HWY_RESTRICT panel,
                          typename Dot::Sum* HWY_RESTRICT sums) {
  const Groups d;
  const typename Dot::D ds;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t column = 0; column < 32; column += lanes) {
    typename Dot::V sum[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r] = hn::Zero(ds);
    for (int64_t k = 0; k < groups; ++k) {
      const auto w = hn::LoadU(d, panel + k * 32 + column);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r] = Dot::Add(sum[r], hn::Set(d, x[r * groups + k]), w);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) hn::StoreU(sum[r], ds, sums + r * 32 + column);
  }
}

template <class Dot>
HWY_INLINE void DotRows(int64_t rows, const uint32_t* x, int64_t groups, const uint32_t* panel,
                        typename Dot::Sum* sums) {
  int64_t r = 0;
  for (; r + kDotRows <= rows; r += kDotRows) DotTile<Dot, kDotRows>(x + r * groups, groups, panel, sums + r * 32);
  for (; r < rows; ++r) DotTile<Dot, 1>(x + r * groups, groups, panel, sums + r * 32);
}

void Bf16Rows(int64_t rows, const uint32_t* x, int64_t groups, const uint32_t* panel, float* sums) {
  DotRows<Bf16Dot>(rows, x, groups, panel, sums);
}
void Int8Rows(int64_t rows, const uint32_t* x, int64_t groups, const uint32_t* panel, int32_t* sums) {
  DotRows<Int8Dot>(rows, x, groups, panel, sums);
}

}  // namespace tandem::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::kernels {
HWY_EXPORT(Bf16Rows);
HWY_EXPORT(Int8Rows);

const DotPanels& PortableDotPanels() {
  static const DotPanels panels = {
      "portable",
      nullptr,
      nullptr,
      [](int64_t rows, const uint32_t* x, int64_t groups, const uint32_t* panel, float* sums) {
        HWY_DYNAMIC_DISPATCH(Bf16Rows)(rows, x, groups, panel, sums);
      },
      [](int64_t rows, const uint32_t* x, int64_t groups, const uint32_t* panel, int32_t* sums) {
        HWY_DYNAMIC_DISPATCH(Int8Rows)(rows, x, groups, panel, sums);
      },
      nullptr};
  return panels;
}

}  // namespace tandem::kernels
#endif
