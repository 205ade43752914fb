#include "kernels/attention.h"

#include <cmath>
#include <limits>
#include <span>

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

// A query's scores, or its sum of values, are computed together with those of the next query that reads the same keys
// and values, and two vectors of them at a time, each in a few sums: so many multiply-adds that none waits for
// another's result, and no more loads than the processor has room for beside them.
constexpr int kTogether = 2;
constexpr int kVectors = 2;

// So far ahead pages are fetched: a cache that all cores share answers late.
constexpr int64_t kPagesAhead = 3;

// What kQueries queries have added up of kColumns vectors.
template <int kQueries, int kColumns>
struct Sums {
  static constexpr int kSums = kColumns == 1 ? 4 : 2;
  V sum[kQueries][kColumns][kSums];

  HWY_INLINE Sums() {
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 8
        for (int j = 0; j < kSums; ++j) sum[q][c][j] = hn::Zero(Tag());
      }
    }
  }

  // Adds `count` vectors of each column, `stride` apart, each times a factor: query q's from factors + q *
  // factor_stride on. Meanwhile as many at `next` are fetched.
  HWY_INLINE void Add(const float* HWY_RESTRICT factors, int64_t factor_stride, const float* const* columns,
                      const float* const* next, int64_t stride, int64_t count) {
    int64_t i = 0;
    for (; i + kSums <= count; i += kSums) {
#pragma GCC unroll 8
      for (int j = 0; j < kSums; ++j) {
        AddOne(factors + i + j, factor_stride, columns, (i + j) * stride, j);
#pragma GCC unroll 8
        for (int c = 0; c < kColumns; ++c) hwy::Prefetch(next[c] + (i + j) * stride);
      }
    }
    for (; i < count; ++i) AddOne(factors + i, factor_stride, columns, i * stride, 0);
  }
  HWY_INLINE void AddOne(const float* factors, int64_t factor_stride, const float* const* columns, int64_t at, int j) {
    const Tag d;
    V vector[kColumns];
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) vector[c] = hn::LoadU(d, columns[c] + at);
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q) {
      const V factor = hn::Set(d, factors[q * factor_stride]);
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) sum[q][c][j] = hn::MulAdd(factor, vector[c], sum[q][c][j]);
    }
  }

  HWY_INLINE V Of(int q, int c) const {
    const V* of = sum[q][c];
    if constexpr (kSums == 4) return hn::Add(hn::Add(of[0], of[1]), hn::Add(of[2], of[3]));
    return hn::Add(of[0], of[1]);
  }
};

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

// A row's geometry, and what its heads share.
struct Row {
  const AttentionShape& shape;
  const float* query;
  const float* const* pages;
  int64_t pages_known;  // those of the rows to come are fetched
  int64_t layer;        // floats, from the beginning of a page
  int64_t length, padded;
  float* scores;  // [heads, padded]
  float* scale;   // [heads] the largest score, then 1 / the sum of exponentials
  float* out;

  // A head's part of a page: its keys, then its values.
  HWY_INLINE const float* Page(int64_t page, int64_t head) const {
    return pages[page] + layer + head / (shape.heads / shape.kv_heads) * HeadPageSize(shape);
  }
  HWY_INLINE const float* PageAhead(int64_t page, int64_t head) const {
    return Page(HWY_MIN(page + kPagesAhead, pages_known - 1), head);
  }

  // Scores of all positions, -infinity from `length` to the end of the page, and the largest.
  template <int kQueries>
  HWY_INLINE void Score(int64_t head) const {
    const Tag d;
    const int64_t lanes = hn::Lanes(d), end = (length + lanes - 1) / lanes * lanes;
    const V factor = hn::Set(d, 1.0f / std::sqrt(static_cast<float>(shape.head_size)));
    const V nothing = hn::Set(d, -std::numeric_limits<float>::infinity());
    V most[kQueries];
    for (V& m : most) m = nothing;
    for (int64_t first = 0; first < end; first += kVectors * lanes) {
      int64_t at[kVectors];
      const float *keys[kVectors], *next[kVectors];
      for (int c = 0; c < kVectors; ++c) {
        at[c] = HWY_MIN(first + c * lanes, end - lanes);
        keys[c] = Page(at[c] / kPagePositions, head) + at[c] % kPagePositions;
        next[c] = PageAhead(at[c] / kPagePositions, head) + at[c] % kPagePositions;
      }
      Sums<kQueries, kVectors> dots;
      dots.Add(query + head * shape.head_size, shape.head_size, keys, next, kPagePositions, shape.head_size);
      for (int q = 0; q < kQueries; ++q) {
        for (int c = 0; c < kVectors; ++c) {
          V score = hn::Mul(dots.Of(q, c), factor);
          const int64_t left = length - at[c];
          if (left < lanes) score = hn::IfThenElse(hn::FirstN(d, static_cast<size_t>(left)), score, nothing);
          hn::StoreU(score, d, scores + (head + q) * padded + at[c]);
          most[q] = hn::Max(most[q], score);
        }
      }
    }
    for (int q = 0; q < kQueries; ++q) scale[head + q] = hn::GetLane(hn::MaxOfLanes(d, most[q]));
  }

  // kColumns vectors of columns from `column` on of weights . values.
  template <int kQueries, int kColumns>
  HWY_INLINE void SumColumns(int64_t head, int64_t column) const {
    const Tag d;
    const int64_t lanes = hn::Lanes(d), values = shape.head_size * kPagePositions + column;
    Sums<kQueries, kColumns> sums;
    for (int64_t first = 0; first < length; first += kPagePositions) {
      const float *from[kColumns], *next[kColumns];
      for (int c = 0; c < kColumns; ++c) {
        from[c] = Page(first / kPagePositions, head) + values + c * lanes;
        next[c] = PageAhead(first / kPagePositions, head) + values + c * lanes;
      }
      sums.Add(scores + head * padded + first, padded, from, next, ValueStride(shape),
               HWY_MIN(kPagePositions, length - first));
    }
    for (int q = 0; q < kQueries; ++q) {
      for (int c = 0; c < kColumns; ++c) {
        const V scaled = hn::Mul(sums.Of(q, c), hn::Set(d, scale[head + q]));
        const int64_t left = shape.head_size - column - c * lanes;
        float* to = out + (head + q) * shape.head_size + column + c * lanes;
        if (left >= lanes) {
          hn::StoreU(scaled, d, to);
        } else {
          hn::BlendedStore(scaled, hn::FirstN(d, static_cast<size_t>(left)), d, to);
        }
      }
    }
  }

  template <int kQueries>
  HWY_INLINE void Sum(int64_t head) const {
    const int64_t lanes = hn::Lanes(Tag());
    int64_t column = 0;
    for (; column + (kVectors - 1) * lanes < shape.head_size; column += kVectors * lanes) {
      SumColumns<kQueries, kVectors>(head, column);
    }
    if (column < shape.head_size) SumColumns<kQueries, 1>(head, column);
  }
};

// All heads go through a phase before the next begins: each phase of one head waits for its own sums, and the processor
// fills the wait with another head's.
void AttendRow(const AttentionShape& shape, const float* query, std::span<const float* const> pages, int64_t layer,
               int64_t length, float* scratch, float* out) {
  const int64_t group = shape.heads / shape.kv_heads;
  const int64_t padded = (length + kPagePositions - 1) / kPagePositions * kPagePositions;
  const Row row = {shape,  query,  pages.data(), static_cast<int64_t>(pages.size()), layer,
                   length, padded, scratch,      scratch + shape.heads * padded,     out};
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

void Attend(const AttentionShape& shape, const float* query, std::span<const float* const> pages, int64_t layer,
            int64_t length, float* scratch, float* out) {
  HWY_DYNAMIC_DISPATCH(AttendRow)(shape, query, pages, layer, length, scratch, out);
}

}  // namespace tandem::kernels
#endif
