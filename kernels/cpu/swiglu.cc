#include "kernels/swiglu.h"

#include <algorithm>

#include "kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/swiglu.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "kernels/cpu/linear-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::kernels::HWY_NAMESPACE {

// silu(gate) * up. With e = exp(-|gate|) <= 1 nothing overflows.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Gated(D d, V gate, V up) {
  const V one = hn::Set(d, 1.0f);
  const V e = hn::Exp(d, hn::Neg(hn::Abs(gate)));
  const V numerator = hn::IfThenElse(hn::Ge(gate, hn::Zero(d)), one, e);
  return hn::Mul(hn::Mul(gate, hn::Div(numerator, hn::Add(one, e))), up);
}

HWY_INLINE void AddBias(const float* bias, int64_t rows, float* aside) {
  const FloatTag d;
  for (int64_t r = 0; r < rows; ++r, aside += kPanelColumns) {
    for (int64_t c = 0; c < kPanelColumns; c += hn::Lanes(d)) {
      hn::Store(hn::Add(hn::Load(d, aside + c), hn::LoadU(d, bias + c)), d, aside + c);
    }
  }
}

// aside: [rows, 32], gate then up; y: [rows, columns] at stride `intermediate`.
HWY_INLINE void GatedRows(const float* aside, int64_t rows, int64_t columns, float* y, int64_t intermediate) {
  const FloatTag d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t r = 0; r < rows; ++r, aside += kPanelColumns, y += intermediate) {
    for (int64_t c = 0; c < columns; c += lanes) {
      const auto value = Gated(d, hn::Load(d, aside + c), hn::Load(d, aside + 16 + c));
      if (c + lanes <= columns) {
        hn::StoreU(value, d, y + c);
      } else {
        hn::BlendedStore(value, hn::FirstN(d, columns - c), d, y + c);
      }
    }
  }
}

void LinearGated(const float* x, int64_t rows, const float* packed, const float* bias, int64_t in, int64_t intermediate,
                 float* y) {
  HWY_ALIGN float aside[kTileRows * kPanelColumns];
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  for (int64_t column = 0; column < intermediate; column += 16, packed += kPanelColumns * in) {
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t first = rows * tile / tiles, count = rows * (tile + 1) / tiles - first;
      OnePanel<Output::kSet>(count, x + first * in, in, packed, aside, kPanelColumns);
      if (bias != nullptr) AddBias(bias + 2 * column, count, aside);
      const int64_t columns = HWY_MIN(int64_t{16}, intermediate - column);
      GatedRows(aside, count, columns, y + first * intermediate + column, intermediate);
    }
  }
}

}  // namespace tandem::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::kernels {
HWY_EXPORT(LinearGated);

void LinearSwiGlu(const float* x, int64_t rows, const float* packed, const float* bias, int64_t in,
                  int64_t intermediate, float* y) {
  HWY_DYNAMIC_DISPATCH(LinearGated)(x, rows, packed, bias, in, intermediate, y);
}

void PackGateUp(const float* gate, const float* up, int64_t intermediate, int64_t in, float* packed) {
  for (int64_t column = 0; column < intermediate; column += 16) {
    const int64_t columns = std::min<int64_t>(16, intermediate - column);
    float* panel = packed + column * 2 * in;
    if (columns < 16) std::fill_n(panel, kPanelColumns * in, 0.0f);
    for (int64_t k = 0; k < in; ++k, panel += kPanelColumns) {
      for (int64_t c = 0; c < columns; ++c) panel[c] = gate[(column + c) * in + k];
      for (int64_t c = 0; c < columns; ++c) panel[16 + c] = up[(column + c) * in + k];
    }
  }
}

}  // namespace tandem::kernels
#endif
