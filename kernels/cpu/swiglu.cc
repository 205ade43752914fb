#include "kernels/swiglu.h"

#include <algorithm>

#include "kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/swiglu.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/highway.h>

#include "kernels/cpu/gated-inl.h"
#include "kernels/cpu/linear-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::kernels::HWY_NAMESPACE {

void LinearGated(const float* x, int64_t rows, const float* packed, const float* bias, int64_t in, int64_t intermediate,
                 float* y) {
  HWY_ALIGN float sums[kTileRows * kPanelColumns];  // few rows of several panels are not more
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  for (int64_t column = 0; column < intermediate;) {
    const int64_t wide = PanelsAtOnce(rows, (intermediate - column) / 16);
    const int64_t stride = wide * kPanelColumns;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t first = rows * tile / tiles, count = rows * (tile + 1) / tiles - first;
      const float* inputs = x + first * in;
      if (wide > 1) {
        FewRows<Output::kSet>(count, inputs, in, packed, sums, stride);
      } else {
        OnePanel<Output::kSet>(count, inputs, in, packed, sums, stride);
      }
      for (int64_t panel = 0; panel < wide; ++panel) {
        const int64_t begin = column + 16 * panel, columns = HWY_MIN(int64_t{16}, intermediate - begin);
        GatedRows(sums + panel * kPanelColumns, stride, count, columns, bias == nullptr ? nullptr : bias + 2 * begin,
                  y + first * intermediate + begin, intermediate);
      }
    }
    column += 16 * wide;
    packed += stride * in;
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
