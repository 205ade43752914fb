#include "kernels/linear.h"

#include <algorithm>

#include "kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/highway.h>

#include "kernels/cpu/linear-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::kernels::HWY_NAMESPACE {

// The last panel of a layer whose outputs do not fill it: computed aside, then copied as far as it is wanted.
template <Output kOutput>
void NarrowPanel(int64_t rows, const float* x, int64_t in, const float* panel, int64_t columns, float* y, int64_t out) {
  HWY_ALIGN float aside[kTileRows * kPanelColumns];
  OnePanel<Output::kSet>(rows, x, in, panel, aside, kPanelColumns);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const float value = aside[r * kPanelColumns + c];
      y[r * out + c] = kOutput == Output::kAdd ? y[r * out + c] + value : value;
    }
  }
}

template <Output kOutput>
void RunLinear(const float* x, int64_t rows, const float* packed, int64_t in, int64_t out, float* y) {
  if (rows == 0) return;
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  for (int64_t column = 0; column < out;) {
    const float* panel = packed + column * in;
    const int64_t wide = PanelsAtOnce(rows, (out - column) / kPanelColumns);
    if (wide > 1) {
      FewRows<kOutput>(rows, x, in, panel, y + column, out);
      column += wide * kPanelColumns;
      continue;
    }
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t first = rows * tile / tiles, count = rows * (tile + 1) / tiles - first;
      if (column + kPanelColumns <= out) {
        OnePanel<kOutput>(count, x + first * in, in, panel, y + first * out + column, out);
      } else {
        NarrowPanel<kOutput>(count, x + first * in, in, panel, out - column, y + first * out + column, out);
      }
    }
    column += kPanelColumns;
  }
}

void LinearSet(const float* x, int64_t rows, const float* packed, int64_t in, int64_t out, float* y) {
  RunLinear<Output::kSet>(x, rows, packed, in, out, y);
}
void LinearPlus(const float* x, int64_t rows, const float* packed, int64_t in, int64_t out, float* y) {
  RunLinear<Output::kAdd>(x, rows, packed, in, out, y);
}

}  // namespace tandem::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::kernels {
HWY_EXPORT(LinearSet);
HWY_EXPORT(LinearPlus);

void Linear(const float* x, int64_t rows, const float* packed, int64_t in, int64_t out, float* y) {
  HWY_DYNAMIC_DISPATCH(LinearSet)(x, rows, packed, in, out, y);
}

void LinearAdd(const float* x, int64_t rows, const float* packed, int64_t in, int64_t out, float* y) {
  HWY_DYNAMIC_DISPATCH(LinearPlus)(x, rows, packed, in, out, y);
}

constexpr int64_t kLine = 16;  // floats

void PackLinear(const float* weight, int64_t out, int64_t in, float* packed) {
  for (int64_t column = 0; column < out; column += kPanelColumns) {
    const int64_t columns = std::min(kPanelColumns, out - column);
    float* panel = packed + column * in;
    if (columns < kPanelColumns) std::fill_n(panel, kPanelColumns * in, 0.0f);
    // A cache line of each row at a time: what is written meanwhile stays in the first-level cache.
    for (int64_t first = 0; first < in; first += kLine) {
      const int64_t last = std::min(first + kLine, in);
      for (int64_t c = 0; c < columns; ++c) {
        const float* row = weight + (column + c) * in;
        for (int64_t k = first; k < last; ++k) panel[k * kPanelColumns + c] = row[k];
      }
    }
  }
}

}  // namespace tandem::kernels
#endif
