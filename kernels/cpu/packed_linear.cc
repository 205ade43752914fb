#include "kernels/packed_linear.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cpu/dot_panel.h"
#include "kernels/cpu/targets.h"
#include "kernels/linear.h"
#include "kernels/swiglu.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/packed_linear.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/highway.h>

#include "kernels/cpu/gated-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tandem::kernels::HWY_NAMESPACE {

void RoundRow(const float* HWY_RESTRICT x, int64_t size, uint16_t* HWY_RESTRICT to) {
  for (int64_t i = 0; i < size; ++i) {
    uint32_t bits;
    std::memcpy(&bits, x + i, sizeof bits);
    const uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
    to[i] = static_cast<uint16_t>((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
  }
}

// To round(x / scale) + 128; returns the scale. A row with a number that is not finite gets a scale that is none.
float QuantizeRow(const float* HWY_RESTRICT x, int64_t size, uint8_t* HWY_RESTRICT to) {
  const hn::CappedTag<float, 16> d;
  using V = hn::Vec<decltype(d)>;
  const hn::Rebind<int32_t, decltype(d)> di;
  const int64_t lanes = hn::Lanes(d);
  V largest = hn::Zero(d), poison = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const V v = hn::LoadU(d, x + i);
    largest = hn::Max(largest, hn::Abs(v));
    poison = hn::MulAdd(v, hn::Zero(d), poison);
  }
  float most = hn::GetLane(hn::MaxOfLanes(d, largest)), none = hn::GetLane(hn::SumOfLanes(d, poison));
  for (; i < size; ++i) {
    most = std::max(most, std::abs(x[i]));
    none += x[i] * 0;
  }
  const float scale = most / 127 + none, inverse = most > 0 && scale == scale ? 127 / most : 0;
  const V factor = hn::Set(d, inverse);
  HWY_ALIGN int32_t lane[16];
  for (i = 0; i + lanes <= size; i += lanes) {
    hn::Store(hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), factor)), di, lane);
    for (int64_t l = 0; l < lanes; ++l) to[i + l] = static_cast<uint8_t>(lane[l] + 128);
  }
  for (; i < size; ++i) to[i] = static_cast<uint8_t>(std::lrintf(x[i] * inverse) + 128);
  return scale;
}

// sums [rows][32] of int32 -> float: (sum - correction) * scale of row * scale of output.
void ScaleSums(int64_t rows, const float* row_scales, const float* scales, const int32_t* corrections, float* sums) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> di;
  for (int64_t r = 0; r < rows; ++r, sums += kPanelColumns) {
    for (int64_t c = 0; c < kPanelColumns; c += hn::Lanes(d)) {
      const auto sum = hn::Sub(hn::BitCast(di, hn::Load(d, sums + c)), hn::LoadU(di, corrections + c));
      const auto scale = hn::Mul(hn::Set(d, row_scales[r]), hn::LoadU(d, scales + c));
      hn::Store(hn::Mul(hn::ConvertTo(d, sum), scale), d, sums + c);
    }
  }
}

// y[rows] at `stride` = or += sums [rows][32] + bias, as far as `columns`.
template <bool kAdd>
void WriteSums(int64_t rows, int64_t columns, const float* sums, const float* bias, float* y, int64_t stride) {
  const hn::CappedTag<float, 16> d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t r = 0; r < rows; ++r, sums += kPanelColumns, y += stride) {
    int64_t c = 0;
    for (; c + lanes <= columns; c += lanes) {
      auto value = hn::Load(d, sums + c);
      if (bias != nullptr) value = hn::Add(value, hn::LoadU(d, bias + c));
      hn::StoreU(kAdd ? hn::Add(hn::LoadU(d, y + c), value) : value, d, y + c);
    }
    for (; c < columns; ++c) {
      const float value = bias != nullptr ? sums[c] + bias[c] : sums[c];
      y[c] = kAdd ? y[c] + value : value;
    }
  }
}

void SetSums(int64_t rows, int64_t columns, const float* sums, const float* bias, float* y, int64_t stride) {
  WriteSums<false>(rows, columns, sums, bias, y, stride);
}
void AddSums(int64_t rows, int64_t columns, const float* sums, const float* bias, float* y, int64_t stride) {
  WriteSums<true>(rows, columns, sums, bias, y, stride);
}
// sums: 16 gates, then the 16 that they gate; `columns`: of y.
void GateSums(int64_t rows, int64_t columns, const float* sums, const float* bias, float* y, int64_t stride) {
  GatedRows(sums, kPanelColumns, rows, columns, bias, y, stride);
}

}  // namespace tandem::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::kernels {
HWY_EXPORT(RoundRow);
HWY_EXPORT(QuantizeRow);
HWY_EXPORT(ScaleSums);
HWY_EXPORT(SetSums);
HWY_EXPORT(AddSums);
HWY_EXPORT(GateSums);

namespace {

// What becomes of a panel's sums.
using Epilogue = void (*)(int64_t rows, int64_t columns, const float* sums, const float* bias, float* y,
                          int64_t stride);
#define TANDEM_EPILOGUE(name, function)                                                                      \
  void name(int64_t rows, int64_t columns, const float* sums, const float* bias, float* y, int64_t stride) { \
    HWY_DYNAMIC_DISPATCH(function)(rows, columns, sums, bias, y, stride);                                    \
  }
TANDEM_EPILOGUE(SetEpilogue, SetSums)
TANDEM_EPILOGUE(AddEpilogue, AddSums)
TANDEM_EPILOGUE(GateEpilogue, GateSums)
#undef TANDEM_EPILOGUE

int64_t RoundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// 32-bit groups of a row of inputs.
int64_t Groups(WeightType type, int64_t in) {
  const int64_t of_group = type == WeightType::kBf16 ? 2 : 4;
  return RoundUp((in + of_group - 1) / of_group, kGroupStep);
}

// Behind the groups of an int8 panel.
struct Int8Scales {
  float scales[kPanelColumns];
  int32_t corrections[kPanelColumns];  // 128 times the sum of an output's weights: inputs are stored 128 too large
};

int64_t PanelBytes(WeightType type, int64_t in) {
  if (type == WeightType::kFloat32) return in * kPanelColumns * static_cast<int64_t>(sizeof(float));
  const int64_t groups = Groups(type, in) * kPanelColumns * 4;
  return type == WeightType::kInt8 ? groups + static_cast<int64_t>(sizeof(Int8Scales)) : groups;
}

// A row of inputs or weights as groups, filled up with zeros; 8-bit numbers are 128 too large. Returns its scale.
float PrepareRow(WeightType type, const float* x, int64_t in, uint32_t* groups) {
  auto* bytes = reinterpret_cast<uint8_t*>(groups);
  float scale = 1;
  if (type == WeightType::kBf16) {
    HWY_DYNAMIC_DISPATCH(RoundRow)(x, in, reinterpret_cast<uint16_t*>(bytes));
  } else {
    scale = HWY_DYNAMIC_DISPATCH(QuantizeRow)(x, in, bytes);
  }
  const int64_t used = type == WeightType::kBf16 ? in * 2 : in;
  std::memset(bytes + used, 0, static_cast<size_t>(Groups(type, in) * 4 - used));
  return scale;
}

// An output's weights into its column of a panel. `row`: scratch for Groups(type, in).
void PackColumn(WeightType type, const float* weight, int64_t in, int64_t column, uint32_t* row, std::byte* panel) {
  const int64_t groups = Groups(type, in);
  const float scale = PrepareRow(type, weight, in, row);
  auto* to = reinterpret_cast<uint32_t*>(panel) + column;
  if (type == WeightType::kBf16) {
    for (int64_t k = 0; k < groups; ++k) to[k * kPanelColumns] = row[k];
    return;
  }
  auto* numbers = reinterpret_cast<uint8_t*>(row);
  int32_t sum = 0;
  for (int64_t k = 0; k < in; ++k) {
    sum += numbers[k] - 128;
    numbers[k] ^= 0x80;
  }
  for (int64_t k = 0; k < groups; ++k) to[k * kPanelColumns] = row[k];
  auto* scales = reinterpret_cast<Int8Scales*>(panel + groups * kPanelColumns * 4);
  scales->scales[column] = scale;
  scales->corrections[column] = 128 * sum;
}

// All rows as the panels read them; their scales, [rows], lie behind.
const float* Prepare(WeightType type, const float* x, int64_t rows, int64_t in, uint32_t* groups) {
  const int64_t size = Groups(type, in), padded = RoundUp(rows, kRowStep);
  auto* scales = reinterpret_cast<float*>(groups + padded * size);
  for (int64_t r = 0; r < rows; ++r) scales[r] = PrepareRow(type, x + r * in, in, groups + r * size);
  std::memset(groups + rows * size, 0, static_cast<size_t>((padded - rows) * size * 4));
  return scales;
}

// All panels, each with all rows while it is in the cache.
void RunPanels(const PackedLinear& layer, int64_t columns_of_panel, const float* bias, const float* x, int64_t rows,
               void* scratch, float* y, Epilogue epilogue) {
  if (rows == 0) return;
  auto* inputs = static_cast<uint32_t*>(scratch);
  const float* row_scales = Prepare(layer.type, x, rows, layer.in, inputs);
  const int64_t groups = Groups(layer.type, layer.in), panel_bytes = PanelBytes(layer.type, layer.in);
  const DotPanels& dot = ChosenDotPanels();
  alignas(64) float sums[kPanelRows * kPanelColumns];
  if (dot.begin != nullptr) dot.begin();
  const auto* panel = static_cast<const std::byte*>(layer.data);
  for (int64_t column = 0; column < layer.out; column += columns_of_panel, panel += panel_bytes) {
    const int64_t columns = std::min(columns_of_panel, layer.out - column);
    const auto* weights = reinterpret_cast<const uint32_t*>(panel);
    const float* panel_bias = bias == nullptr ? nullptr : bias + column / columns_of_panel * kPanelColumns;
    for (int64_t first = 0; first < rows; first += kPanelRows) {
      const int64_t count = std::min(kPanelRows, rows - first);
      if (layer.type == WeightType::kBf16) {
        dot.bf16(count, inputs + first * groups, groups, weights, sums);
      } else {
        dot.int8(count, inputs + first * groups, groups, weights, reinterpret_cast<int32_t*>(sums));
        const auto* scales = reinterpret_cast<const Int8Scales*>(weights + groups * kPanelColumns);
        HWY_DYNAMIC_DISPATCH(ScaleSums)(count, row_scales + first, scales->scales, scales->corrections, sums);
      }
      epilogue(count, columns, sums, panel_bias, y + first * layer.out + column, layer.out);
    }
  }
  if (dot.end != nullptr) dot.end();
}

void AddBias(const float* bias, int64_t rows, int64_t out, float* y) {
  for (int64_t r = 0; r < rows; ++r, y += out) {
    for (int64_t c = 0; c < out; ++c) y[c] += bias[c];
  }
}

}  // namespace

void RoundToBf16(const float* x, int64_t size, uint16_t* to) { HWY_DYNAMIC_DISPATCH(RoundRow)(x, size, to); }

int64_t PackedBytes(WeightType type, int64_t out, int64_t in) {
  return RoundUp(out, kPanelColumns) / kPanelColumns * PanelBytes(type, in);
}

int64_t PackedGateUpBytes(WeightType type, int64_t intermediate, int64_t in) {
  return RoundUp(intermediate, 16) / 16 * PanelBytes(type, in);
}

PackedLinear Pack(WeightType type, const float* weight, int64_t out, int64_t in, void* packed) {
  const PackedLinear layer = {type, out, in, packed};
  if (type == WeightType::kFloat32) {
    PackLinear(weight, out, in, static_cast<float*>(packed));
    return layer;
  }
  std::memset(packed, 0, static_cast<size_t>(PackedBytes(type, out, in)));
  std::vector<uint32_t> row(static_cast<size_t>(Groups(type, in)));
  for (int64_t column = 0; column < out; ++column) {
    PackColumn(type, weight + column * in, in, column % kPanelColumns, row.data(),
               static_cast<std::byte*>(packed) + column / kPanelColumns * PanelBytes(type, in));
  }
  return layer;
}

PackedLinear PackGateUp(WeightType type, const float* gate, const float* up, int64_t intermediate, int64_t in,
                        void* packed) {
  const PackedLinear layer = {type, intermediate, in, packed};
  if (type == WeightType::kFloat32) {
    PackGateUp(gate, up, intermediate, in, static_cast<float*>(packed));
    return layer;
  }
  std::memset(packed, 0, static_cast<size_t>(PackedGateUpBytes(type, intermediate, in)));
  std::vector<uint32_t> row(static_cast<size_t>(Groups(type, in)));
  for (int64_t column = 0; column < intermediate; ++column) {
    std::byte* panel = static_cast<std::byte*>(packed) + column / 16 * PanelBytes(type, in);
    PackColumn(type, gate + column * in, in, column % 16, row.data(), panel);
    PackColumn(type, up + column * in, in, 16 + column % 16, row.data(), panel);
  }
  return layer;
}

int64_t LinearScratch(WeightType type, int64_t rows, int64_t in) {
  if (type == WeightType::kFloat32) return 0;
  return RoundUp(rows, kRowStep) * (Groups(type, in) + 1) * 4;
}

void Linear(const PackedLinear& layer, const float* bias, const float* x, int64_t rows, void* scratch, float* y) {
  if (layer.type != WeightType::kFloat32) {
    return RunPanels(layer, kPanelColumns, bias, x, rows, scratch, y, SetEpilogue);
  }
  const auto* packed = static_cast<const float*>(layer.data);
  if (bias == nullptr) return Linear(x, rows, packed, layer.in, layer.out, y);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(bias, layer.out, y + r * layer.out);
  LinearAdd(x, rows, packed, layer.in, layer.out, y);
}

void LinearAdd(const PackedLinear& layer, const float* bias, const float* x, int64_t rows, void* scratch, float* y) {
  if (layer.type != WeightType::kFloat32) {
    return RunPanels(layer, kPanelColumns, bias, x, rows, scratch, y, AddEpilogue);
  }
  LinearAdd(x, rows, static_cast<const float*>(layer.data), layer.in, layer.out, y);
  if (bias != nullptr) AddBias(bias, rows, layer.out, y);
}

void LinearSwiGlu(const PackedLinear& layer, const float* bias, const float* x, int64_t rows, void* scratch, float* y) {
  if (layer.type != WeightType::kFloat32) {
    return RunPanels(layer, 16, bias, x, rows, scratch, y, GateEpilogue);
  }
  LinearSwiGlu(x, rows, static_cast<const float*>(layer.data), bias, layer.in, layer.out, y);
}

}  // namespace tandem::kernels
#endif
