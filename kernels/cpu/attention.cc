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

HWY_INLINE V SumOf(const V* sum) { return hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3])); }

// Scores of kQueries queries, `head_size` apart, against as many positions of a page as a vector has lanes. Meanwhile
// the same part of the next page is fetched.
template <int kQueries>
HWY_INLINE void Dots(const float* HWY_RESTRICT query, const float* HWY_RESTRICT keys, const float* HWY_RESTRICT next,
                     int64_t head_size, V* dots) {
  const Tag d;
  V sum[kQueries][kSums];
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int j = 0; j < kSums; ++j) sum[q][j] = hn::Zero(d);
  }
  int64_t i = 0;
  for (; i + kSums <= head_size; i += kSums, keys += kSums * kPagePositions, next += kSums * kPagePositions) {
#pragma GCC unroll 8
    for (int j = 0; j < kSums; ++j) {
      const V key = hn::LoadU(d, keys + j * kPagePositions);
      hwy::Prefetch(next + j * kPagePositions);
#pragma GCC unroll 8
      for (int q = 0; q < kQueries; ++q) {
        sum[q][j] = hn::MulAdd(hn::Set(d, query[q * head_size + i + j]), key, sum[q][j]);
      }
    }
  }
  for (; i < head_size; ++i, keys += kPagePositions) {
    for (int q = 0; q < kQueries; ++q) {
      sum[q][0] = hn::MulAdd(hn::Set(d, query[q * head_size + i]), hn::LoadU(d, keys), sum[q][0]);
    }
  }
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) dots[q] = SumOf(sum[q]);
}

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
        Dots<kQueries>(query, keys + i, next + i, head_size, score);
        for (V& s : score) s = hn::Mul(s, scale);
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
HWY_INLINE void WeightedSums(const float* HWY_RESTRICT weights, int64_t padded, const float* const* pages,
                             int64_t offset, int64_t stride, int64_t length, V* sums) {
  const Tag d;
  V sum[kQueries][kSums];
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 8
    for (int j = 0; j < kSums; ++j) sum[q][j] = hn::Zero(d);
  }
  for (int64_t first = 0; first < length; first += kPagePositions) {
    const float* HWY_RESTRICT values = pages[first / kPagePositions] + offset;
    const float* HWY_RESTRICT next = pages[HWY_MIN(first + kPagePositions, length - 1) / kPagePositions] + offset;
    const float* HWY_RESTRICT weight = weights + first;
    const int64_t count = HWY_MIN(kPagePositions, length - first);
    int64_t i = 0;
    for (; i + kSums <= count; i += kSums, values += kSums * stride, next += kSums * stride) {
#pragma GCC unroll 8
      for (int j = 0; j < kSums; ++j) {
        const V value = hn::LoadU(d, values + j * stride);
        hwy::Prefetch(next + j * stride);
#pragma GCC unroll 8
        for (int q = 0; q < kQueries; ++q) {
          sum[q][j] = hn::MulAdd(hn::Set(d, weight[q * padded + i + j]), value, sum[q][j]);
        }
      }
    }
    for (; i < count; ++i, values += stride) {
      for (int q = 0; q < kQueries; ++q) {
        sum[q][0] = hn::MulAdd(hn::Set(d, weight[q * padded + i]), hn::LoadU(d, values), sum[q][0]);
      }
    }
  }
#pragma GCC unroll 8
  for (int q = 0; q < kQueries; ++q) sums[q] = SumOf(sum[q]);
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
      V column[kQueries];
      WeightedSums<kQueries>(scores + head * padded, padded, pages, values + i, ValueStride(shape), length, column);
      for (int q = 0; q < kQueries; ++q) {
        const V scaled = hn::Mul(column[q], hn::Set(d, scale[head + q]));
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
