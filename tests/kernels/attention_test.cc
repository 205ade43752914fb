#include "kernels/attention.h"

#include <limits>

#include "tests/kernels/instruction_set_test.h"

namespace tandem::kernels {
namespace {

// Keys and values of `length` positions, in pages whose other places hold not-a-number: reading one shows.
struct Cache {
  Cache(const AttentionShape& shape, int64_t length, uint32_t seed, float scale = 1)
      : keys(RandomFloats(length * shape.kv_heads * shape.head_size, seed, scale)),
        values(RandomFloats(length * shape.kv_heads * shape.head_size, seed + 1)) {
    for (int64_t position = 0; position < length; ++position) {
      if (position % kPagePositions == 0) {
        storage.emplace_back(PageSize(shape), std::numeric_limits<float>::quiet_NaN());
      }
      const int64_t at = position * shape.kv_heads * shape.head_size;
      StoreKeyValue(shape, keys.data() + at, values.data() + at, position % kPagePositions, storage.back().data());
    }
    for (const auto& page : storage) pages.push_back(page.data());
  }
  std::vector<float> keys, values;  // [length, kv_heads, head_size]
  std::vector<std::vector<float>> storage;
  std::vector<const float*> pages;
};

at::Tensor Reference(const AttentionShape& shape, const Cache& cache, const std::vector<float>& query, int64_t length) {
  const int64_t group = shape.heads / shape.kv_heads;
  const at::Tensor keys = Double(cache.keys, {length, shape.kv_heads, shape.head_size}).repeat_interleave(group, 1);
  const at::Tensor values = Double(cache.values, {length, shape.kv_heads, shape.head_size}).repeat_interleave(group, 1);
  const at::Tensor q = Double(query, {shape.heads, shape.head_size});
  const at::Tensor weights = at::softmax((keys * q).sum(2) / std::sqrt(double(shape.head_size)), 0);  // [length, heads]
  return (weights.unsqueeze(2) * values).sum(0);
}

class AttentionTest : public EveryInstructionSet {};
TANDEM_ON_EVERY_INSTRUCTION_SET(AttentionTest);

TEST_P(AttentionTest, AgreesWithAtenForAllKindsOfSizes) {
  for (const AttentionShape shape :
       {AttentionShape{4, 4, 16}, {4, 4, 32}, {4, 2, 8}, {6, 2, 20}, {1, 1, 2}, {3, 1, 64}}) {
    for (int64_t length : {1, 2, 3, 15, 16, 17, 31, 33, 48, 100, 1024}) {
      SCOPED_TRACE(testing::Message() << shape.heads << " heads, " << shape.kv_heads << " kv, size " << shape.head_size
                                      << ", length " << length);
      const Cache cache(shape, length, 1);
      const std::vector<float> query = RandomFloats(shape.heads * shape.head_size, 3);
      std::vector<float> scratch(AttendScratch(shape, length)), out(query.size() + 1, 0.5f);
      Attend(shape, query.data(), cache.pages, 0, length, scratch.data(), out.data());
      EXPECT_EQ(out.back(), 0.5f);
      out.pop_back();
      ExpectClose(out, Reference(shape, cache, query, length), 3e-6, 1e-5);
    }
  }
}

TEST_P(AttentionTest, IsStableForLargeScores) {
  const AttentionShape shape{2, 2, 16};
  const Cache cache(shape, 20, 1, /*scale=*/300);
  const std::vector<float> query = RandomFloats(32, 3);
  std::vector<float> scratch(AttendScratch(shape, 20)), out(32);
  Attend(shape, query.data(), cache.pages, 0, 20, scratch.data(), out.data());
  ExpectClose(out, Reference(shape, cache, query, 20), 1e-3, 1e-3);
}

// What later positions of the pages hold does not matter.
TEST_P(AttentionTest, DependsOnTheFirstPositionsOnly) {
  const AttentionShape shape{4, 2, 16};
  const Cache longer(shape, 40, 1);
  const std::vector<float> query = RandomFloats(64, 3);
  for (int64_t length = 1; length < 40; ++length) {
    Cache shorter(shape, length, 1);
    std::vector<float> scratch(AttendScratch(shape, 40)), a(64), b(64);
    for (int64_t page = 0; page < static_cast<int64_t>(shorter.storage.size()); ++page) {
      // The same beginning as the longer one.
      shorter.storage[page].assign(PageSize(shape), std::numeric_limits<float>::quiet_NaN());
    }
    for (int64_t p = 0; p < length; ++p) {
      StoreKeyValue(shape, longer.keys.data() + p * 32, longer.values.data() + p * 32, p % kPagePositions,
                    shorter.storage[p / kPagePositions].data());
    }
    Attend(shape, query.data(), shorter.pages, 0, length, scratch.data(), a.data());
    Attend(shape, query.data(), longer.pages, 0, length, scratch.data(), b.data());
    ASSERT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << length;
  }
}

}  // namespace
}  // namespace tandem::kernels
