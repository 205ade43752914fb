// Row-wise kernels: RMSNorm, SwiGLU, log-probabilities.
#include <cmath>
#include <limits>

#include "kernels/cpu/targets.h"
#include "policy/cpu_kernels.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "policy/cpu_rows.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Full = hn::ScalableTag<float>;
using One = hn::CappedTag<float, 1>;

// Calls f(tag, i) with whole vectors, then one element at a time: no element beyond n is touched.
template <class F>
HWY_INLINE void ForEach(int64_t n, F f) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(Full()));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(Full(), i);
  for (; i < n; ++i) f(One(), i);
}

// The sum over i of f(tag, i), a vector.
template <class F>
HWY_INLINE float Sum(int64_t n, F f) {
  const Full d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto a = hn::Zero(d), b = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    a = hn::Add(a, f(d, i));
    b = hn::Add(b, f(d, i + lanes));
  }
  for (; i + lanes <= n; i += lanes) a = hn::Add(a, f(d, i));
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(a, b)));
  for (; i < n; ++i) sum += hn::GetLane(f(One(), i));
  return sum;
}

void AddRmsNormImpl(const float* x, const float* delta, const float* weight, float epsilon, int64_t rows,
                    int64_t hidden, float* h, float* y, float* rstd) {
  for (int64_t row = 0; row < rows; ++row, x += hidden, y += hidden) {
    const float* in = x;
    if (delta != nullptr) {
      ForEach(hidden, [&](auto d, int64_t i)
                          HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, delta + i)), d, h + i); });
      in = h;
      delta += hidden;
      h += hidden;
    }
    const float squares = Sum(hidden, [&](auto d, int64_t i) HWY_ATTR {
      const auto v = hn::LoadU(d, in + i);
      return hn::Mul(v, v);
    });
    const float r = 1.0f / std::sqrt(squares / static_cast<float>(hidden) + epsilon);
    rstd[row] = r;
    ForEach(hidden, [&](auto d, int64_t i) HWY_ATTR {
      hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, in + i), hn::Set(d, r)), hn::LoadU(d, weight + i)), d, y + i);
    });
  }
}

void RmsNormBackwardImpl(const float* dy, const float* dh, const float* h, const float* weight, const float* rstd,
                         int64_t rows, int64_t hidden, float* dx, float* dweight) {
  for (int64_t row = 0; row < rows; ++row, dy += hidden, h += hidden, dx += hidden) {
    const float r = rstd[row];
    const float dot = Sum(hidden, [&](auto d, int64_t i) HWY_ATTR {
      return hn::Mul(hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, weight + i)), hn::LoadU(d, h + i));
    });
    const float c = r * r * r * dot / static_cast<float>(hidden);
    ForEach(hidden, [&](auto d, int64_t i) HWY_ATTR {
      const auto g = hn::LoadU(d, dy + i), v = hn::LoadU(d, h + i);
      auto out = hn::Sub(hn::Mul(hn::Mul(g, hn::LoadU(d, weight + i)), hn::Set(d, r)), hn::Mul(v, hn::Set(d, c)));
      if (dh != nullptr) out = hn::Add(out, hn::LoadU(d, dh + i));
      hn::StoreU(out, d, dx + i);
      hn::StoreU(hn::MulAdd(hn::Mul(g, v), hn::Set(d, r), hn::LoadU(d, dweight + i)), d, dweight + i);
    });
    if (dh != nullptr) dh += hidden;
  }
}

// 1 / (1 + exp(-x)); the clamp keeps Exp within its range.
template <class D, class V>
HWY_INLINE V Sigmoid(D d, V x) {
  const V e = hn::Exp(d, hn::Min(hn::Neg(x), hn::Set(d, 88.0f)));
  return hn::Div(hn::Set(d, 1.0f), hn::Add(hn::Set(d, 1.0f), e));
}

void SwiGluImpl(const float* gate_up, int64_t rows, int64_t width, float* y) {
  for (int64_t row = 0; row < rows; ++row, gate_up += 2 * width, y += width) {
    ForEach(width, [&](auto d, int64_t i) HWY_ATTR {
      const auto g = hn::LoadU(d, gate_up + i), u = hn::LoadU(d, gate_up + width + i);
      hn::StoreU(hn::Mul(hn::Mul(g, Sigmoid(d, g)), u), d, y + i);
    });
  }
}

void SwiGluBackwardImpl(const float* dy, const float* gate_up, int64_t rows, int64_t width, float* dgate_up) {
  for (int64_t row = 0; row < rows; ++row, gate_up += 2 * width, dgate_up += 2 * width, dy += width) {
    ForEach(width, [&](auto d, int64_t i) HWY_ATTR {
      const auto g = hn::LoadU(d, gate_up + i), u = hn::LoadU(d, gate_up + width + i), dout = hn::LoadU(d, dy + i);
      const auto s = Sigmoid(d, g), silu = hn::Mul(g, s);
      // silu'(g) = s + silu (1 - s)
      const auto slope = hn::NegMulAdd(silu, s, hn::Add(s, silu));
      hn::StoreU(hn::Mul(hn::Mul(dout, u), slope), d, dgate_up + i);
      hn::StoreU(hn::Mul(dout, silu), d, dgate_up + width + i);
    });
  }
}

HWY_INLINE float MaxOf(const float* x, int64_t n) {
  float largest = -std::numeric_limits<float>::infinity();
  const Full d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  if (n >= lanes) {
    auto m = hn::LoadU(d, x);
    for (i = lanes; i + lanes <= n; i += lanes) m = hn::Max(m, hn::LoadU(d, x + i));
    largest = hn::GetLane(hn::MaxOfLanes(d, m));
  }
  for (; i < n; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

void LogProbsImpl(const float* logits, const int64_t* targets, int64_t rows, int64_t vocabulary, float* logprobs,
                  float* entropy, float* lse) {
  for (int64_t row = 0; row < rows; ++row, logits += vocabulary) {
    const float largest = MaxOf(logits, vocabulary);
    const float sum = Sum(vocabulary, [&](auto d, int64_t i) HWY_ATTR {
      return hn::Exp(d, hn::Sub(hn::LoadU(d, logits + i), hn::Set(d, largest)));
    });
    // sum(p log p) = sum(exp(x) x) / sum - lse, with x = logit - largest
    const float weighted = Sum(vocabulary, [&](auto d, int64_t i) HWY_ATTR {
      const auto x = hn::Sub(hn::LoadU(d, logits + i), hn::Set(d, largest));
      return hn::Mul(x, hn::Exp(d, x));
    });
    const float log_sum = std::log(sum);
    lse[row] = largest + log_sum;
    logprobs[row] = (logits[targets[row]] - largest) - log_sum;
    entropy[row] = log_sum - weighted / sum;
  }
}

void LogProbsBackwardImpl(const float* dlogprobs, const float* logits, const float* lse, const int64_t* targets,
                          int64_t rows, int64_t vocabulary, float* dlogits) {
  for (int64_t row = 0; row < rows; ++row, logits += vocabulary, dlogits += vocabulary) {
    const float g = dlogprobs[row];
    ForEach(vocabulary, [&](auto d, int64_t i) HWY_ATTR {
      const auto p = hn::Exp(d, hn::Sub(hn::LoadU(d, logits + i), hn::Set(d, lse[row])));
      hn::StoreU(hn::Mul(p, hn::Set(d, -g)), d, dlogits + i);
    });
    dlogits[targets[row]] += g;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tandem::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::cpu {

HWY_EXPORT(AddRmsNormImpl);
HWY_EXPORT(RmsNormBackwardImpl);
HWY_EXPORT(SwiGluImpl);
HWY_EXPORT(SwiGluBackwardImpl);
HWY_EXPORT(LogProbsImpl);
HWY_EXPORT(LogProbsBackwardImpl);

void AddRmsNorm(const float* x, const float* delta, const float* weight, float epsilon, int64_t rows, int64_t hidden,
                float* h, float* y, float* rstd) {
  HWY_DYNAMIC_DISPATCH(AddRmsNormImpl)(x, delta, weight, epsilon, rows, hidden, h, y, rstd);
}

void RmsNormBackward(const float* dy, const float* dh, const float* h, const float* weight, const float* rstd,
                     int64_t rows, int64_t hidden, float* dx, float* dweight) {
  HWY_DYNAMIC_DISPATCH(RmsNormBackwardImpl)(dy, dh, h, weight, rstd, rows, hidden, dx, dweight);
}

void SwiGlu(const float* gate_up, int64_t rows, int64_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(SwiGluImpl)(gate_up, rows, width, y);
}

void SwiGluBackward(const float* dy, const float* gate_up, int64_t rows, int64_t width, float* dgate_up) {
  HWY_DYNAMIC_DISPATCH(SwiGluBackwardImpl)(dy, gate_up, rows, width, dgate_up);
}

void LogProbs(const float* logits, const int64_t* targets, int64_t rows, int64_t vocabulary, float* logprobs,
              float* entropy, float* lse) {
  HWY_DYNAMIC_DISPATCH(LogProbsImpl)(logits, targets, rows, vocabulary, logprobs, entropy, lse);
}

void LogProbsBackward(const float* dlogprobs, const float* logits, const float* lse, const int64_t* targets,
                      int64_t rows, int64_t vocabulary, float* dlogits) {
  HWY_DYNAMIC_DISPATCH(LogProbsBackwardImpl)(dlogprobs, logits, lse, targets, rows, vocabulary, dlogits);
}

}  // namespace tandem::cpu
#endif
