#include "kernels/attention.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/cache_control.h>
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, 16>;
using V = hn::Vec<Tag>;

// Queries that share the keys and values that they read: two have sums enough to keep the multiply-add units busy.
constexpr int kTogether = 2;
constexpr int kSums = 4;  // of each, since one would wait for its own result

// What kQueries queries have added up.
template <int kQueries>
struct Sums {
  V sum[kQueries][kSums];

  HWY_INLINE Sums() {
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
      for (int j = 0; j < kSums; ++j) sum[q][j] = hn::Zero(Tag());
    }
  }

  // Adds `count` vectors, `stride` apart, each times a factor: query q's from factors + q * factor_stride on. Meanwhile
  // as many vectors at `next` are fetched.
  HWY_INLINE void Add(const float* HWY_RESTRICT factors, int64_t factor_stride, const float* HWY_RESTRICT vectors,
                      const float* HWY_RESTRICT next, int64_t stride, int64_t count) {
    const Tag d;
    int64_t i = 0;
    for (; i + kSums <= count; i += kSums, vectors += kSums * stride, next += kSums * stride) {
#pragma GCC unroll 8
      for (int j = 0; j < kSums; ++j) {
        const V vector = hn::LoadU(d, vectors + j * stride);
        hwy::Prefetch(next + j * stride);
#pragma GCC unroll 8
        for (int q = 0; q < kQueries; ++q) {
          sum[q][j] = hn::MulAdd(hn::Set(d, factors[q * factor_stride + i + j]), vector, sum[q][j]);
        }
      }
    }
    for (; i < count; ++i, vectors += stride) {
      for (int q = 0; q < kQueries; ++q) {
        sum[q][0] = hn::MulAdd(hn::Set(d, factors[q * factor_stride + i]), hn::LoadU(d, vectors), sum[q][0]);
      }
    }
  }

  HWY_INLINE V Of(int q) const { return hn::Add(hn::Add(sum[q][0], sum[q][1]), hn::Add(sum[q][2], sum[q][3])); }
};

// Scores of all positions, of query q from scores + q * padded, -infinity from `length` to the end of the page.
// largest[q]: the largest.
template <int kQueries>
HWY_INLINE void Scores(const float* query, const float* const* pages, int64_t offset, int64_t head_size, int64_t length,
                       int64_t padded, float* scores, float* largest) {
  const Tag d;
  const int64_t lanes = hn::Lanes(d), count = padded / kPagePositions;
  const V scale = hn::Set(d, 1.0f / std::sqrt(static_cast<float>(head_size)));
  const V nothing = hn::Set(d, -std::numeric_limits<float>::infinity());
  V most[kQueries];
  for (V& m : most) m = nothing;
  for (int64_t page = 0; page < count; ++page) {
    const float* keys = pages[page] + offset;
    const float* next = pages[HWY_MIN(page + 1, count - 1)] + offset;
    for (int64_t i = 0; i < kPagePositions; i += lanes) {
      const int64_t left = length - page * kPagePositions - i;
      V score[kQueries];
      if (left > 0) {
        Sums<kQueries> dots;
        dots.Add(query, head_size, keys + i, next + i, kPagePositions, head_size);
        for (int q = 0; q < kQueries; ++q) score[q] = hn::Mul(dots.Of(q), scale);
        if (left < lanes) {
          for (V& s : score) s = hn::IfThenElse(hn::FirstN(d, static_cast<size_t>(left)), s, nothing);
        }
      } else {
        for (V& s : score) s = nothing;
      }
      for (int q = 0; q < kQueries; ++q) {
        hn::StoreU(score[q], d, scores + q * padded + page * kPagePositions + i);
        most[q] = hn::Max(most[q], score[q]);
      }
    }
  }
  for (int q = 0; q < kQueries; ++q) largest[q] = hn::GetLane(hn::MaxOfLanes(d, most[q]));
}

// scores = exp(scores - largest); returns their sum.
HWY_INLINE float Exponentials(float* scores, int64_t length, float largest) {
  const Tag d;
  const int64_t lanes = hn::Lanes(d);
  const V shift = hn::Set(d, largest);
  V sum = hn::Zero(d);
  for (int64_t i = 0; i < length; i += lanes) {
    const V e = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + i), shift));
    hn::StoreU(e, d, scores + i);
    sum = hn::Add(sum, e);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// One vector of columns of weights . values, of kQueries queries whose weights are `padded` apart.
template <int kQueries>
HWY_INLINE Sums<kQueries> WeightedSums(const float* weights, int64_t padded, const float* const* pages, int64_t offset,
                                       int64_t stride, int64_t length) {
  Sums<kQueries> sums;
  for (int64_t first = 0; first < length; first += kPagePositions) {
    const float* values = pages[first / kPagePositions] + offset;
    const float* next = pages[HWY_MIN(first + kPagePositions, length - 1) / kPagePositions] + offset;
    sums.Add(weights + first, padded, values, next, stride, HWY_MIN(kPagePositions, length - first));
  }
  return sums;
}

// A row's geometry, and what its heads share.
struct Row {
  const AttentionShape& shape;
  const float* query;
  const float* const* pages;
  int64_t length, padded;
  float* scores;  // [heads, padded]
  float* scale;   // [heads] the largest score, then 1 / the sum of exponentials
  float* out;

  int64_t offset(int64_t head) const { return head / (shape.heads / shape.kv_heads) * HeadPageSize(shape); }

  template <int kQueries>
  HWY_INLINE void Score(int64_t head) const {
    Scores<kQueries>(query + head * shape.head_size, pages, offset(head), shape.head_size, length, padded,
                     scores + head * padded, scale + head);
  }

  template <int kQueries>
  HWY_INLINE void Sum(int64_t head) const {
    const Tag d;
    const int64_t lanes = hn::Lanes(d), values = offset(head) + shape.head_size * kPagePositions;
    for (int64_t i = 0; i < shape.head_size; i += lanes) {
      const Sums<kQueries> columns =
          WeightedSums<kQueries>(scores + head * padded, padded, pages, values + i, ValueStride(shape), length);
      for (int q = 0; q < kQueries; ++q) {
        const V scaled = hn::Mul(columns.Of(q), hn::Set(d, scale[head + q]));
        float* to = out + (head + q) * shape.head_size + i;
        if (i + lanes <= shape.head_size) {
          hn::StoreU(scaled, d, to);
        } else {
          hn::BlendedStore(scaled, hn::FirstN(d, static_cast<size_t>(shape.head_size - i)), d, to);
        }
      }
    }
  }
};

// All heads go through a phase before the next begins: each phase of one head waits for its own sums, and the processor
// fills the wait with another head's.
void AttendRow(const AttentionShape& shape, const float* query, const float* const* pages, int64_t length,
               float* scratch, float* out) {
  const int64_t group = shape.heads / shape.kv_heads;
  const int64_t padded = (length + kPagePositions - 1) / kPagePositions * kPagePositions;
  const Row row = {shape, query, pages, length, padded, scratch, scratch + shape.heads * padded, out};
  for (int64_t first = 0; first < shape.heads; first += group) {
    int64_t head = first;
    for (; head + kTogether <= first + group; head += kTogether) row.Score<kTogether>(head);
    for (; head < first + group; ++head) row.Score<1>(head);
  }
  for (int64_t head = 0; head < shape.heads; ++head) {
    row.scale[head] = 1.0f / Exponentials(row.scores + head * padded, length, row.scale[head]);
  }
  for (int64_t first = 0; first < shape.heads; first += group) {
    int64_t head = first;
    for (; head + kTogether <= first + group; head += kTogether) row.Sum<kTogether>(head);
    for (; head < first + group; ++head) row.Sum<1>(head);
  }
}

}  // namespace tandem::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem::kernels {
HWY_EXPORT(AttendRow);

void StoreKeyValue(const AttentionShape& shape, const float* key, const float* value, int64_t offset, float* page) {
  for (int64_t head = 0; head < shape.kv_heads; ++head) {
    for (int64_t i = 0; i < shape.head_size; ++i) page[i * kPagePositions + offset] = key[i];
    float* values = page + shape.head_size * kPagePositions + offset * ValueStride(shape);
    for (int64_t i = 0; i < shape.head_size; ++i) values[i] = value[i];
    page += HeadPageSize(shape);
    key += shape.head_size;
    value += shape.head_size;
  }
}

void Attend(const AttentionShape& shape, const float* query, const float* const* pages, int64_t length, float* scratch,
            float* out) {
  HWY_DYNAMIC_DISPATCH(AttendRow)(shape, query, pages, length, scratch, out);
}

}  // namespace tandem::kernels
#endif
