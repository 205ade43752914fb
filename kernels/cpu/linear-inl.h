// The microkernel of kernels/linear.h and swiglu.h: a tile of rows and columns held in registers.
#include <cstdint>

#include "kernels/linear.h"

#if defined(TANDEM_KERNELS_CPU_LINEAR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TANDEM_KERNELS_CPU_LINEAR_INL_H_
#undef TANDEM_KERNELS_CPU_LINEAR_INL_H_
#else
#define TANDEM_KERNELS_CPU_LINEAR_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;

// Rows of the largest tile: with two vectors of columns, 24 (AVX-512) or 12 accumulators, and registers left over for
// the weights and one input.
constexpr int kTileRows = HWY_TARGET == HWY_AVX3 ? 12 : 6;

// Panels that a tile spans: few rows need more columns to keep the multiply-add units busy.
constexpr int TilePanels(int rows) { return rows == 1 ? 4 : rows <= 3 ? 2 : 1; }

enum class Output { kSet, kAdd };

// Memory is read about twice as fast from four places side by side as from one, since the processor looks ahead from
// each by itself. A tile of four panels does so anyway; others fetch the next panels in so many parts meanwhile.
constexpr int64_t kStreams = 4;

// out[kRows, kPanels * 32 at 2 vectors a panel] = x[kRows, in] * the columns that `panel` points at.
template <int kRows, int kPanels, Output kOutput>
HWY_NOINLINE void Tile(const float* HWY_RESTRICT x, int64_t in, const float* HWY_RESTRICT panel,
                       float* HWY_RESTRICT out, int64_t out_stride) {
  const FloatTag d;
  using V = hn::Vec<FloatTag>;
  constexpr int kColumns = 2 * kPanels;
  const int64_t lanes = hn::Lanes(d), panel_size = in * kPanelColumns;
  const float* const next = panel + kPanels * panel_size;
  const int64_t part = kPanels * panel_size / kStreams;
  // Unrolled: an array whose every index is a constant lives in registers.
  V sum[kRows][kColumns];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) sum[r][c] = hn::Zero(d);
  }
  for (int64_t k = 0; k < in; ++k) {
    V w[kColumns];
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) w[c] = hn::LoadU(d, panel + (c / 2) * panel_size + (c % 2) * lanes);
    const float* const ahead = next + k % kStreams * part + k / kStreams * (kPanels * kPanelColumns);
#pragma GCC unroll 16
    for (int c = 0; kPanels < kStreams && c < kColumns; ++c) {
      __builtin_prefetch(ahead + c * lanes, 0, /*second-level cache*/ 2);
    }
    panel += kPanelColumns;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const V value = hn::Set(d, x[r * in + k]);
#pragma GCC unroll 16
      for (int c = 0; c < kColumns; ++c) sum[r][c] = hn::MulAdd(value, w[c], sum[r][c]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) {
      float* to = out + r * out_stride + (c / 2) * kPanelColumns + (c % 2) * lanes;
      V value = sum[r][c];
      if constexpr (kOutput == Output::kAdd) value = hn::Add(hn::LoadU(d, to), value);
      hn::StoreU(value, d, to);
    }
  }
}

// All 32 columns of kPanels panels, which on short vectors take several tiles.
template <int kRows, int kPanels, Output kOutput>
HWY_INLINE void TilePanel(const float* x, int64_t in, const float* panel, float* out, int64_t out_stride) {
  const int64_t step = 2 * static_cast<int64_t>(hn::Lanes(FloatTag()));
  for (int64_t column = 0; column < kPanelColumns; column += step) {
    Tile<kRows, kPanels, kOutput>(x, in, panel + column, out + column, out_stride);
  }
}

// `rows` rows (at most kTileRows) of one panel.
template <Output kOutput, int kRows = kTileRows>
HWY_INLINE void OnePanel(int64_t rows, const float* x, int64_t in, const float* panel, float* out, int64_t out_stride) {
  if (rows == kRows) return TilePanel<kRows, 1, kOutput>(x, in, panel, out, out_stride);
  if constexpr (kRows > 1) OnePanel<kOutput, kRows - 1>(rows, x, in, panel, out, out_stride);
}

// The panels that FewRows (more than one) or OnePanel takes, of `left`.
HWY_INLINE int64_t PanelsAtOnce(int64_t rows, int64_t left) {
  const int64_t wide = rows <= 3 ? TilePanels(static_cast<int>(rows)) : 1;
  return wide <= left ? wide : 1;
}

// `rows` rows (at most 3) of TilePanels(rows) panels.
template <Output kOutput>
HWY_INLINE void FewRows(int64_t rows, const float* x, int64_t in, const float* panel, float* out, int64_t out_stride) {
  if (rows == 1) return TilePanel<1, TilePanels(1), kOutput>(x, in, panel, out, out_stride);
  if (rows == 2) return TilePanel<2, TilePanels(2), kOutput>(x, in, panel, out, out_stride);
  TilePanel<3, TilePanels(3), kOutput>(x, in, panel, out, out_stride);
}

}  // namespace tandem::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
