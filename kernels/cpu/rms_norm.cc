#include "kernels/rms_norm.h"

#include <cmath>

#include "kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rms_norm.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE float SumOfSquares(const float* x, int64_t size) {
  const hn::CappedTag<float, 16> d;
  const int64_t lanes = hn::Lanes(d);
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= size; i += 2 * lanes) {
    const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + i + lanes);
    sum0 = hn::MulAdd(a, a, sum0);
    sum1 = hn::MulAdd(b, b, sum1);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
  for (; i < size; ++i) sum += x[i] * x[i];
  return sum;
}

void RmsNormRows(const float* x, int64_t rows, int64_t size, const float* weight, float epsilon, float* y) {
  const hn::CappedTag<float, 16> d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t row = 0; row < rows; ++row, x += size, y += size) {
    const float scale = 1.0f / std::sqrt(SumOfSquares(x, size) / static_cast<float>(size) + epsilon);
    const auto scales = hn::Set(d, scale);
    int64_t i = 0;
    for (; i + lanes <= size; i += lanes) {
      hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), scales), hn::LoadU(d, weight + i)), d, y + i);
    }
    for (; i < size; ++i) y[i] = x[i] * scale * weight[i];
  }
}

}  // namespace tandem::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::kernels {
HWY_EXPORT(RmsNormRows);

void RmsNorm(const float* x, int64_t rows, int64_t size, const float* weight, float epsilon, float* y) {
  HWY_DYNAMIC_DISPATCH(RmsNormRows)(x, rows, size, weight, epsilon, y);
}

}  // namespace tandem::kernels
#endif
