#include "kernels/attention.h"

#include <cmath>
#include <limits>

#include "kernels/cpu/targets.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, 16>;
using V = hn::Vec<Tag>;

// query . key for as many positions as a vector has lanes. Four sums, since one would wait for its own result.
HWY_INLINE V Dot(Tag d, const float* HWY_RESTRICT query, const float* HWY_RESTRICT keys, int64_t head_size) {
  V sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  int64_t i = 0;
  for (; i + 4 <= head_size; i += 4, keys += 4 * kPagePositions) {
    sum[0] = hn::MulAdd(hn::Set(d, query[i]), hn::LoadU(d, keys), sum[0]);
    sum[1] = hn::MulAdd(hn::Set(d, query[i + 1]), hn::LoadU(d, keys + kPagePositions), sum[1]);
    sum[2] = hn::MulAdd(hn::Set(d, query[i + 2]), hn::LoadU(d, keys + 2 * kPagePositions), sum[2]);
    sum[3] = hn::MulAdd(hn::Set(d, query[i + 3]), hn::LoadU(d, keys + 3 * kPagePositions), sum[3]);
  }
  for (; i < head_size; ++i, keys += kPagePositions) {
    sum[0] = hn::MulAdd(hn::Set(d, query[i]), hn::LoadU(d, keys), sum[0]);
  }
  return hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]));
}

// Scores of all positions into `scores`, -infinity from `length` to the end of the page. Returns the largest.
HWY_INLINE float Scores(const float* query, const float* const* pages, int64_t head_offset, int64_t head_size,
                        int64_t length, float* scores) {
  const Tag d;
  const int64_t lanes = hn::Lanes(d);
  const V scale = hn::Set(d, 1.0f / std::sqrt(static_cast<float>(head_size)));
  const V nothing = hn::Set(d, -std::numeric_limits<float>::infinity());
  V largest = nothing;
  for (int64_t first = 0; first < length; first += kPagePositions) {
    const float* keys = pages[first / kPagePositions] + head_offset;
    for (int64_t i = 0; i < kPagePositions; i += lanes) {
      V score = nothing;
      if (const int64_t left = length - first - i; left > 0) {
        score = hn::Mul(Dot(d, query, keys + i, head_size), scale);
        if (left < lanes) score = hn::IfThenElse(hn::FirstN(d, left), score, nothing);
      }
      hn::StoreU(score, d, scores + first + i);
      largest = hn::Max(largest, score);
    }
  }
  return hn::GetLane(hn::MaxOfLanes(d, largest));
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

// One vector of columns of weights . values.
HWY_INLINE V WeightedSum(const float* HWY_RESTRICT weights, const float* const* pages, int64_t offset, int64_t stride,
                         int64_t length) {
  const Tag d;
  V sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  for (int64_t first = 0; first < length; first += kPagePositions) {
    const float* HWY_RESTRICT values = pages[first / kPagePositions] + offset;
    const float* HWY_RESTRICT weight = weights + first;
    const int64_t count = HWY_MIN(kPagePositions, length - first);
    int64_t i = 0;
    for (; i + 4 <= count; i += 4, values += 4 * stride) {
      sum[0] = hn::MulAdd(hn::Set(d, weight[i]), hn::LoadU(d, values), sum[0]);
      sum[1] = hn::MulAdd(hn::Set(d, weight[i + 1]), hn::LoadU(d, values + stride), sum[1]);
      sum[2] = hn::MulAdd(hn::Set(d, weight[i + 2]), hn::LoadU(d, values + 2 * stride), sum[2]);
      sum[3] = hn::MulAdd(hn::Set(d, weight[i + 3]), hn::LoadU(d, values + 3 * stride), sum[3]);
    }
    for (; i < count; ++i, values += stride) {
      sum[0] = hn::MulAdd(hn::Set(d, weight[i]), hn::LoadU(d, values), sum[0]);
    }
  }
  return hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]));
}

// All heads go through a phase before the next begins: each phase of one head waits for its own sums, and the processor
// fills the wait with another head's.
void AttendRow(const AttentionShape& shape, const float* query, const float* const* pages, int64_t length,
               float* scratch, float* out) {
  const Tag d;
  const int64_t lanes = hn::Lanes(d), stride = ValueStride(shape), group = shape.heads / shape.kv_heads;
  const int64_t padded = (length + kPagePositions - 1) / kPagePositions * kPagePositions;
  float* scale = scratch + shape.heads * padded;  // [heads] the largest score, then 1 / the sum of exponentials
  for (int64_t head = 0; head < shape.heads; ++head) {
    scale[head] = Scores(query + head * shape.head_size, pages, head / group * HeadPageSize(shape), shape.head_size,
                         length, scratch + head * padded);
  }
  for (int64_t head = 0; head < shape.heads; ++head) {
    scale[head] = 1.0f / Exponentials(scratch + head * padded, length, scale[head]);
  }
  for (int64_t head = 0; head < shape.heads; ++head, out += shape.head_size) {
    const int64_t values = head / group * HeadPageSize(shape) + shape.head_size * kPagePositions;
    const V inverse = hn::Set(d, scale[head]);
    for (int64_t i = 0; i < shape.head_size; i += lanes) {
      const V column = hn::Mul(WeightedSum(scratch + head * padded, pages, values + i, stride, length), inverse);
      if (i + lanes <= shape.head_size) {
        hn::StoreU(column, d, out + i);
      } else {
        hn::BlendedStore(column, hn::FirstN(d, shape.head_size - i), d, out + i);
      }
    }
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
