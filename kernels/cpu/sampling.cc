#include "kernels/sampling.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sampling.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kBlock = 64;  // tokens whose probabilities are summed before the search looks into them
using Tag = hn::CappedTag<float, 16>;

// The largest of x, or not-a-number if one of them is.
HWY_INLINE float Largest(const float* x, int64_t size) {
  const Tag d;
  const int64_t lanes = hn::Lanes(d);
  auto largest = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto odd = hn::Ne(largest, largest);
  int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto values = hn::LoadU(d, x + i);
    largest = hn::Max(largest, values);
    odd = hn::Or(odd, hn::Ne(values, values));
  }
  float result =
      hn::AllFalse(d, odd) ? hn::GetLane(hn::MaxOfLanes(d, largest)) : std::numeric_limits<float>::quiet_NaN();
  for (; i < size; ++i) result = x[i] <= result || std::isnan(result) ? result : x[i];
  return result;
}

// weights = exp((logits - largest) / temperature), 0 up to the end of the last vector.
HWY_INLINE void Weights(const float* logits, int64_t size, float largest, float temperature, float* weights) {
  const Tag d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t i = 0; i < size; i += lanes) {
    if (i + lanes > size) {
      for (int64_t k = i; k < i + lanes; ++k) {
        weights[k] = k < size ? logits[k] : -std::numeric_limits<float>::infinity();
      }
      logits = weights;
    }
    auto x = hn::Sub(hn::LoadU(d, logits + i), hn::Set(d, largest));
    if (temperature != 1) x = hn::Div(x, hn::Set(d, temperature));
    hn::StoreU(hn::Exp(d, x), d, weights + i);
  }
}

// The sum of a block of weights.
HWY_INLINE float BlockSum(const float* weights, int64_t size) {
  const Tag d;
  const int64_t lanes = hn::Lanes(d);
  auto sum = hn::Zero(d);
  for (int64_t i = 0; i < size; i += lanes) sum = hn::Add(sum, hn::LoadU(d, weights + i));
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

HWY_INLINE float Sum(const float* weights, int64_t size) {
  float sum = 0;
  for (int64_t i = 0; i < size; i += kBlock) sum += BlockSum(weights + i, HWY_MIN(kBlock, size - i));
  return sum;
}

// The first token whose cumulative weight exceeds `target`. Where rounding leaves none, the last one of positive
// weight.
HWY_INLINE int64_t Search(const float* weights, int64_t size, float target) {
  int64_t begin = 0;
  float before = 0;
  for (; begin < size; begin += kBlock) {
    const float sum = size <= kBlock ? 0 : BlockSum(weights + begin, HWY_MIN(kBlock, size - begin));
    if (size <= kBlock || before + sum > target) break;
    before += sum;
  }
  for (int64_t i = begin; i < size && i < begin + kBlock; ++i) {
    before += weights[i];
    if (before > target) return i;
  }
  int64_t last = HWY_MIN(begin + kBlock, size) - 1;
  while (last > 0 && !(weights[last] > 0)) --last;
  return last;
}

HWY_INLINE Draw SampleRow(const float* logits, int64_t size, float temperature, float uniform, float* weights) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float largest = Largest(logits, size);
  if (!std::isfinite(largest)) return {0, nan, nan};
  const bool greedy = temperature == 0;
  Weights(logits, size, largest, 1, weights);
  float sum = Sum(weights, size);
  if (!std::isfinite(sum)) return {0, nan, nan};
  const float model_log_sum = std::log(sum);
  int64_t token = 0;
  if (greedy) {
    while (logits[token] != largest) ++token;
    return {static_cast<int32_t>(token), 0, -model_log_sum};
  }
  float log_sum = model_log_sum;
  if (temperature != 1) {
    Weights(logits, size, largest, temperature, weights);
    sum = Sum(weights, size);
    log_sum = std::log(sum);
  }
  token = Search(weights, size, uniform * sum);
  const float below = logits[token] - largest;
  return {static_cast<int32_t>(token), (temperature == 1 ? below : below / temperature) - log_sum,
          below - model_log_sum};
}

void SampleRows(const float* logits, int64_t rows, int64_t vocabulary, const float* temperatures, const float* uniforms,
                float* scratch, Draw* draws) {
  for (int64_t row = 0; row < rows; ++row) {
    draws[row] = SampleRow(logits + row * vocabulary, vocabulary, temperatures[row], uniforms[row], scratch);
  }
}

}  // namespace tandem::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::kernels {
HWY_EXPORT(SampleRows);

void Sample(const float* logits, int64_t rows, int64_t vocabulary, const float* temperatures, const float* uniforms,
            float* scratch, Draw* draws) {
  HWY_DYNAMIC_DISPATCH(SampleRows)(logits, rows, vocabulary, temperatures, uniforms, scratch, draws);
}

}  // namespace tandem::kernels
#endif
