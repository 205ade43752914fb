// Causal attention of one short sequence, forward and backward. Scores are vectorised over keys (which are therefore
// transposed), sums over keys are vectorised over the head; four queries share each key that is loaded.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/cpu/targets.h"
#include "policy/cpu_kernels.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "policy/cpu_attention.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using Vec = hn::Vec<D>;
constexpr int64_t kQueries = 4;  // handled together

int64_t RoundUp(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Sizes of the padded scratch arrays: rows of `head` floats; transposed ones of `keys` floats.
struct Padded {
  int64_t length, size, lanes, rows, head, keys;
  Padded(int64_t length, int64_t size)
      : length(length),
        size(size),
        lanes(static_cast<int64_t>(hn::Lanes(D()))),
        rows(RoundUp(length, kQueries)),
        head(RoundUp(size, lanes)),
        keys(RoundUp(length, lanes)) {}
};

// A zeroed array of `n` floats that is kept from call to call.
float* Zeroed(std::vector<float>& kept, int64_t n) {
  kept.assign(static_cast<size_t>(n), 0.0f);
  return kept.data();
}

// out = scale * (x turned by the angles of one position); direction -1 turns back.
HWY_INLINE void Rotate(const float* x, const float* cos, const float* sin, int64_t half, float scale, float direction,
                       float* out) {
  const hn::CappedTag<float, 8> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto s = hn::Set(d, scale), turn = hn::Set(d, scale * direction);
  int64_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + half + i);
    const auto c = hn::Mul(s, hn::LoadU(d, cos + i)), n = hn::Mul(turn, hn::LoadU(d, sin + i));
    hn::StoreU(hn::NegMulAdd(b, n, hn::Mul(a, c)), d, out + i);
    hn::StoreU(hn::MulAdd(a, n, hn::Mul(b, c)), d, out + half + i);
  }
  for (; i < half; ++i) {
    const float a = x[i], b = x[half + i], c = scale * cos[i], n = scale * direction * sin[i];
    out[i] = a * c - b * n;
    out[half + i] = b * c + a * n;
  }
}

// rows [length, head] (padded with zeros) of one head's columns in x, whose rows are `stride` apart; turned by
// position.
void GatherTurned(const AttentionShape& shape, const Padded& p, const float* x, int64_t stride, float scale,
                  float* rows) {
  const int64_t half = p.size / 2;
  for (int64_t t = 0; t < p.length; ++t) {
    Rotate(x + t * stride, shape.cos + t * half, shape.sin + t * half, half, scale, 1.0f, rows + t * p.head);
  }
}

void Gather(const Padded& p, const float* x, int64_t stride, float* rows) {
  for (int64_t t = 0; t < p.length; ++t) std::copy_n(x + t * stride, p.size, rows + t * p.head);
}

void Transpose(const Padded& p, const float* rows, float* columns) {
  for (int64_t t = 0; t < p.length; ++t) {
    for (int64_t i = 0; i < p.size; ++i) columns[i * p.keys + t] = rows[t * p.head + i];
  }
}

// products[q][j] = rows[q] . columns[:, j] for kQueries rows and the keys j of the blocks that hold 0 .. last.
HWY_INLINE void Products(const Padded& p, const float* rows, const float* columns, int64_t last, float* products) {
  const D d;
  for (int64_t j = 0; j <= last; j += p.lanes) {
    Vec s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
    for (int64_t i = 0; i < p.size; ++i) {
      const Vec k = hn::LoadU(d, columns + i * p.keys + j);
      s0 = hn::MulAdd(hn::Set(d, rows[i]), k, s0);
      s1 = hn::MulAdd(hn::Set(d, rows[p.head + i]), k, s1);
      s2 = hn::MulAdd(hn::Set(d, rows[2 * p.head + i]), k, s2);
      s3 = hn::MulAdd(hn::Set(d, rows[3 * p.head + i]), k, s3);
    }
    hn::StoreU(s0, d, products + j);
    hn::StoreU(s1, d, products + p.keys + j);
    hn::StoreU(s2, d, products + 2 * p.keys + j);
    hn::StoreU(s3, d, products + 3 * p.keys + j);
  }
}

// out[q] = sum over j in 0 .. last of weights[q][j] * rows[j], for kQueries rows q of `out`.
HWY_INLINE void WeightedSums(const Padded& p, const float* weights, const float* rows, int64_t last, float* out) {
  const D d;
  for (int64_t i = 0; i < p.head; i += p.lanes) {
    Vec a0 = hn::Zero(d), a1 = a0, a2 = a0, a3 = a0;
    for (int64_t j = 0; j <= last; ++j) {
      const Vec v = hn::LoadU(d, rows + j * p.head + i);
      a0 = hn::MulAdd(hn::Set(d, weights[j]), v, a0);
      a1 = hn::MulAdd(hn::Set(d, weights[p.keys + j]), v, a1);
      a2 = hn::MulAdd(hn::Set(d, weights[2 * p.keys + j]), v, a2);
      a3 = hn::MulAdd(hn::Set(d, weights[3 * p.keys + j]), v, a3);
    }
    hn::StoreU(a0, d, out + i);
    hn::StoreU(a1, d, out + p.head + i);
    hn::StoreU(a2, d, out + 2 * p.head + i);
    hn::StoreU(a3, d, out + 3 * p.head + i);
  }
}

// sums[j] += sum over the kQueries rows q of weights[q][j] * rows[q], for j in 0 .. last.
HWY_INLINE void AddOuter(const Padded& p, const float* weights, const float* rows, int64_t last, float* sums) {
  const D d;
  for (int64_t i = 0; i < p.head; i += p.lanes) {
    const Vec r0 = hn::LoadU(d, rows + i), r1 = hn::LoadU(d, rows + p.head + i);
    const Vec r2 = hn::LoadU(d, rows + 2 * p.head + i), r3 = hn::LoadU(d, rows + 3 * p.head + i);
    for (int64_t j = 0; j <= last; ++j) {
      Vec a = hn::LoadU(d, sums + j * p.head + i);
      a = hn::MulAdd(hn::Set(d, weights[j]), r0, a);
      a = hn::MulAdd(hn::Set(d, weights[p.keys + j]), r1, a);
      a = hn::MulAdd(hn::Set(d, weights[2 * p.keys + j]), r2, a);
      a = hn::MulAdd(hn::Set(d, weights[3 * p.keys + j]), r3, a);
      hn::StoreU(a, d, sums + j * p.head + i);
    }
  }
}

// Softmax of a row of scores over the keys 0 .. query, zero beyond, up to the end of the block that holds `last`.
// Returns its log-sum-exp.
HWY_INLINE float Softmax(const Padded& p, int64_t query, int64_t last, float* scores) {
  const D d;
  const Vec limit = hn::Set(d, static_cast<float>(query)), low = hn::Set(d, -1e30f);
  Vec largest = low;
  for (int64_t j = 0; j <= last; j += p.lanes) {
    const auto seen = hn::Le(hn::Iota(d, static_cast<float>(j)), limit);
    const Vec s = hn::IfThenElse(seen, hn::LoadU(d, scores + j), low);
    hn::StoreU(s, d, scores + j);
    largest = hn::Max(largest, s);
  }
  largest = hn::MaxOfLanes(d, largest);
  Vec sum = hn::Zero(d);
  for (int64_t j = 0; j <= last; j += p.lanes) {
    const Vec s = hn::LoadU(d, scores + j);
    const Vec e = hn::IfThenElseZero(hn::Gt(s, low), hn::Exp(d, hn::Sub(s, largest)));
    hn::StoreU(e, d, scores + j);
    sum = hn::Add(sum, e);
  }
  const float total = hn::GetLane(hn::SumOfLanes(d, sum));
  const Vec inverse = hn::Set(d, 1.0f / total);
  for (int64_t j = 0; j <= last; j += p.lanes) hn::StoreU(hn::Mul(hn::LoadU(d, scores + j), inverse), d, scores + j);
  return hn::GetLane(largest) + std::log(total);
}

// Scores become probabilities (by the known log-sum-exp), and products dprobs become the gradients of the scores.
HWY_INLINE void SoftmaxBackward(const Padded& p, int64_t query, int64_t last, float lse, float dot, float* scores,
                                float* dprobs) {
  const D d;
  const Vec limit = hn::Set(d, static_cast<float>(query)), zero = hn::Zero(d);
  for (int64_t j = 0; j <= last; j += p.lanes) {
    const auto seen = hn::Le(hn::Iota(d, static_cast<float>(j)), limit);
    const Vec s = hn::IfThenElse(seen, hn::Sub(hn::LoadU(d, scores + j), hn::Set(d, lse)), hn::Set(d, -1e30f));
    const Vec prob = hn::IfThenElse(seen, hn::Exp(d, s), zero);
    hn::StoreU(prob, d, scores + j);
    hn::StoreU(hn::Mul(prob, hn::Sub(hn::LoadU(d, dprobs + j), hn::Set(d, dot))), d, dprobs + j);
  }
}

void AttentionImpl(const AttentionShape& shape, const float* qkv, int64_t length, float* out, float* lse) {
  const int64_t size = shape.head_size, stride = shape.width(), group = shape.heads / shape.kv_heads;
  const Padded p(length, size);
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  static thread_local std::vector<float> kept[6];
  for (int64_t kv = 0; kv < shape.kv_heads; ++kv) {
    float* k = Zeroed(kept[0], p.rows * p.head);
    float* columns = Zeroed(kept[1], size * p.keys);
    float* v = Zeroed(kept[2], p.rows * p.head);
    GatherTurned(shape, p, qkv + (shape.heads + kv) * size, stride, 1.0f, k);
    Transpose(p, k, columns);
    Gather(p, qkv + (shape.heads + shape.kv_heads + kv) * size, stride, v);
    for (int64_t head = kv * group; head < (kv + 1) * group; ++head) {
      float* q = Zeroed(kept[3], p.rows * p.head);
      float* scores = Zeroed(kept[4], kQueries * p.keys);
      float* sums = Zeroed(kept[5], kQueries * p.head);
      GatherTurned(shape, p, qkv + head * size, stride, scale, q);
      for (int64_t first = 0; first < length; first += kQueries) {
        const int64_t queries = std::min(kQueries, length - first), last = first + queries - 1;
        Products(p, q + first * p.head, columns, last, scores);
        for (int64_t r = 0; r < queries; ++r) {
          lse[(first + r) * shape.heads + head] = Softmax(p, first + r, last, scores + r * p.keys);
        }
        WeightedSums(p, scores, v, last, sums);
        for (int64_t r = 0; r < queries; ++r) {
          std::copy_n(sums + r * p.head, size, out + ((first + r) * shape.heads + head) * size);
        }
      }
    }
  }
}

// Adds one query head's part to dk and dv ([rows, head]), and writes its dq (of the turned, scaled query) over q.
void HeadBackward(const AttentionShape& shape, const Padded& p, int64_t head, const float* dout, const float* out,
                  const float* lse, const float* k, const float* k_columns, const float* v_columns, float* q, float* dk,
                  float* dv) {
  static thread_local std::vector<float> kept[4];
  float* dout_rows = Zeroed(kept[0], p.rows * p.head);
  float* scores = Zeroed(kept[1], kQueries * p.keys);
  float* dprobs = Zeroed(kept[2], kQueries * p.keys);
  float* dq = Zeroed(kept[3], kQueries * p.head);
  Gather(p, dout + head * p.size, shape.heads * p.size, dout_rows);
  for (int64_t first = 0; first < p.length; first += kQueries) {
    const int64_t queries = std::min(kQueries, p.length - first), last = first + queries - 1;
    Products(p, q + first * p.head, k_columns, last, scores);
    Products(p, dout_rows + first * p.head, v_columns, last, dprobs);
    for (int64_t r = 0; r < kQueries; ++r) {
      if (r >= queries) {  // a row of padding: no probability, no gradient
        std::fill_n(scores + r * p.keys, p.keys, 0.0f);
        std::fill_n(dprobs + r * p.keys, p.keys, 0.0f);
        continue;
      }
      const float* o = out + ((first + r) * shape.heads + head) * p.size;
      const float* g = dout_rows + (first + r) * p.head;
      float dot = 0;
      for (int64_t i = 0; i < p.size; ++i) dot += o[i] * g[i];
      SoftmaxBackward(p, first + r, last, lse[(first + r) * shape.heads + head], dot, scores + r * p.keys,
                      dprobs + r * p.keys);
    }
    WeightedSums(p, dprobs, k, last, dq);
    AddOuter(p, dprobs, q + first * p.head, last, dk);
    AddOuter(p, scores, dout_rows + first * p.head, last, dv);
    std::copy_n(dq, kQueries * p.head, q + first * p.head);
  }
}

void AttentionBackwardImpl(const AttentionShape& shape, const float* dout, const float* out, const float* qkv,
                           const float* lse, int64_t length, float* dqkv) {
  const int64_t size = shape.head_size, half = size / 2, stride = shape.width();
  const int64_t group = shape.heads / shape.kv_heads;
  const Padded p(length, size);
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  static thread_local std::vector<float> kept[7];
  for (int64_t kv = 0; kv < shape.kv_heads; ++kv) {
    const int64_t k_column = (shape.heads + kv) * size, v_column = k_column + shape.kv_heads * size;
    float* k = Zeroed(kept[0], p.rows * p.head);
    float* k_columns = Zeroed(kept[1], size * p.keys);
    float* v = Zeroed(kept[2], p.rows * p.head);
    float* v_columns = Zeroed(kept[3], size * p.keys);
    float* dk = Zeroed(kept[4], p.rows * p.head);
    float* dv = Zeroed(kept[5], p.rows * p.head);
    GatherTurned(shape, p, qkv + k_column, stride, 1.0f, k);
    Transpose(p, k, k_columns);
    Gather(p, qkv + v_column, stride, v);
    Transpose(p, v, v_columns);
    for (int64_t head = kv * group; head < (kv + 1) * group; ++head) {
      float* q = Zeroed(kept[6], p.rows * p.head);
      GatherTurned(shape, p, qkv + head * size, stride, scale, q);
      HeadBackward(shape, p, head, dout, out, lse, k, k_columns, v_columns, q, dk, dv);
      for (int64_t t = 0; t < length; ++t) {
        Rotate(q + t * p.head, shape.cos + t * half, shape.sin + t * half, half, scale, -1.0f,
               dqkv + t * stride + head * size);
      }
    }
    for (int64_t t = 0; t < length; ++t) {
      Rotate(dk + t * p.head, shape.cos + t * half, shape.sin + t * half, half, 1.0f, -1.0f,
             dqkv + t * stride + k_column);
      std::copy_n(dv + t * p.head, size, dqkv + t * stride + v_column);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tandem::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::cpu {

HWY_EXPORT(AttentionImpl);
HWY_EXPORT(AttentionBackwardImpl);

void Attention(const AttentionShape& shape, const float* qkv, int64_t length, float* out, float* lse) {
  HWY_DYNAMIC_DISPATCH(AttentionImpl)(shape, qkv, length, out, lse);
}

void AttentionBackward(const AttentionShape& shape, const float* dout, const float* out, const float* qkv,
                       const float* lse, int64_t length, float* dqkv) {
  HWY_DYNAMIC_DISPATCH(AttentionBackwardImpl)(shape, dout, out, qkv, lse, length, dqkv);
}

}  // namespace tandem::cpu
#endif
