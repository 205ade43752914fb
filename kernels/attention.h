// Attention of one token over a paged key-value cache, with grouped queries.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "kernels/bfloat16.h"
#include "kernels/cuda/stream.h"

namespace tandem::kernels {

struct AttentionShape {
  int64_t heads;
  int64_t kv_heads;  // divides heads; query head h reads key-value head h / (heads / kv_heads)
  int64_t head_size;
};

// A page holds the keys and values of 16 positions in a row, for each key-value head
//   keys [head_size][16]: scores of 16 positions come from multiply-adds alone, without sums across a vector
//   values [16][head_size, rounded up to 16]
inline constexpr int64_t kPagePositions = 16;
inline int64_t ValueStride(const AttentionShape& shape) { return (shape.head_size + 15) / 16 * 16; }
inline int64_t HeadPageSize(const AttentionShape& shape) {
  return kPagePositions * (shape.head_size + ValueStride(shape));
}
// Floats of a page.
inline int64_t PageSize(const AttentionShape& shape) { return shape.kv_heads * HeadPageSize(shape); }

// Writes key and value, each [kv_heads, head_size], to position `offset` (0 .. 15) of `page`.
void StoreKeyValue(const AttentionShape& shape, const float* key, const float* value, int64_t offset, float* page);

// Floats of scratch that Attend needs for `length` positions.
inline int64_t AttendScratch(const AttentionShape& shape, int64_t length) {
  return shape.heads * ((length + 15) / 16 * 16 + 1);
}

// out[heads, head_size] = softmax(query keys^T / sqrt(head_size)) values over positions 0 .. length-1, length > 0.
// query: [heads, head_size]; pages[i] + layer holds positions 16 i .. 16 i + 15, those from `length` on are not used.
// Pages behind those that hold `length` positions are those of the next calls: they are fetched meanwhile. The order of
// summation depends on `length` alone.
void Attend(const AttentionShape& shape, const float* query, std::span<const float* const> pages, int64_t layer,
            int64_t length, float* scratch, float* out);

namespace cuda {

// The rows of a batch. All pointers here and below are of device memory.
struct PagedRows {
  int64_t rows;
  const int32_t* positions;    // [rows]; -1: padding, of which nothing is read or written
  const int32_t* tables;       // numbers of pages, of all sequences
  const int32_t* table_begin;  // [rows]: position p of a row's sequence is in page tables[table_begin[row] + p / 16]
};

// One layer's cache, T float or BFloat16: page p has keys [kv_heads, 16, head_size] at keys + p * page_stride, and its
// values likewise.
template <class T>
struct PagedKeyValues {
  T* keys;
  T* values;
  int64_t page_stride;
};

// A layer's queries, keys and values, and what is done to them before they are used.
template <class T>
struct Projections {
  T* qkv;               // [rows, heads + 2 kv_heads, head_size]
  const float* bias;    // [heads + 2 kv_heads, head_size], or null
  const float* q_norm;  // [head_size], or null: RMSNorm of each head's query
  const float* k_norm;  // [head_size], or null
  float epsilon;        // of the norms
  const float* cosine;  // [positions, head_size / 2]
  const float* sine;
};

// Adds the bias, norms and turns queries and keys; queries stay in qkv, keys and values go to the cache. Queued on
// `stream`; errors as RmsNorm.
absl::Status StoreTurned(const AttentionShape& shape, const PagedRows& rows, const Projections<float>& projections,
                         const PagedKeyValues<float>& cache, Stream stream);
absl::Status StoreTurned(const AttentionShape& shape, const PagedRows& rows, const Projections<BFloat16>& projections,
                         const PagedKeyValues<BFloat16>& cache, Stream stream);

// Floats of scratch that Attend needs: partial results of splits (kernels/cuda/key_splits.h).
inline int64_t AttendScratch(const AttentionShape& shape, int64_t rows, int64_t splits) {
  return splits <= 1 ? 0 : rows * shape.heads * splits * (shape.head_size + 2);
}

// out[row] [heads, head_size] = attention of the query at qkv + row * query_stride over the row's positions 0 ..
// positions[row], sums in float. No row has more than `splits` splits; more change nothing but the time. A row's bits
// depend on that row alone. head_size is at most 256, else kInvalidArgument.
absl::Status Attend(const AttentionShape& shape, const PagedRows& rows, const float* query, int64_t query_stride,
                    const PagedKeyValues<float>& cache, int64_t splits, float* scratch, float* out, Stream stream);
absl::Status Attend(const AttentionShape& shape, const PagedRows& rows, const BFloat16* query, int64_t query_stride,
                    const PagedKeyValues<BFloat16>& cache, int64_t splits, float* scratch, BFloat16* out,
                    Stream stream);

}  // namespace cuda

}  // namespace tandem::kernels
