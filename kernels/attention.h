// Attention of one token over a paged key-value cache, with grouped queries.
#pragma once

#include <cstdint>

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
// query: [heads, head_size]; pages[i] holds positions 16 i .. 16 i + 15, those from `length` on are not used. The order
// of summation depends on `length` alone.
void Attend(const AttentionShape& shape, const float* query, const float* const* pages, int64_t length, float* scratch,
            float* out);

}  // namespace tandem::kernels
