// Attention on the GPU: batches of rows over pages in device memory. (One row on the CPU: attention_test.cc.)
#include <limits>

#include "kernels/attention.h"
#include "kernels/cuda/key_splits.h"
#include "tests/kernels/device_test.h"

namespace tandem::kernels {
namespace {

TEST(KeySplitsTest, CoverAllPositionsInFewWholePages) {
  for (int64_t length = 0; length < 40000; length += length < 600 ? 1 : 37) {
    const cuda::KeySplits splits = cuda::SplitKeys(length);
    ASSERT_EQ(splits.size % kPagePositions, 0) << length;
    ASSERT_LE(splits.count, cuda::kMostSplits) << length;
    ASSERT_GE(splits.count * splits.size, length);
    ASSERT_LT((splits.count - 1) * splits.size, std::max<int64_t>(length, 1)) << "an empty split at " << length;
  }
  EXPECT_EQ(cuda::SplitKeys(0).count, 0);
  EXPECT_EQ(cuda::SplitKeys(256).count, 1);
  EXPECT_EQ(cuda::SplitKeys(257).count, 2);
}

// Sequences whose pages lie in any order among pages of not-a-number: reading one shows.
template <class T>
struct DeviceCache {
  DeviceCache(const AttentionShape& shape, const std::vector<int64_t>& lengths, const std::vector<float>& keys,
              const std::vector<float>& values)
      : page_size(shape.kv_heads * kPagePositions * shape.head_size) {
    int64_t pages = 0;
    for (const int64_t length : lengths) {
      begin.push_back(static_cast<int32_t>(pages));
      pages += (length + kPagePositions - 1) / kPagePositions;
    }
    const int64_t all = 2 * pages + 1;
    for (int64_t i = 0; i < pages; ++i) tables.push_back(static_cast<int32_t>(all - 2 - 2 * i));
    std::vector<float> cache(2 * all * page_size, std::numeric_limits<float>::quiet_NaN());
    int64_t from = 0;
    for (size_t s = 0; s < lengths.size(); ++s) {
      for (int64_t p = 0; p < lengths[s]; ++p) {
        const int64_t page = tables[begin[s] + p / kPagePositions];
        for (int64_t head = 0; head < shape.kv_heads; ++head) {
          for (int64_t i = 0; i < shape.head_size; ++i, ++from) {
            const int64_t at =
                2 * page * page_size + (head * kPagePositions + p % kPagePositions) * shape.head_size + i;
            cache[at] = keys[from];
            cache[at + page_size] = values[from];
          }
        }
      }
    }
    storage = std::make_unique<DeviceArray<T>>(As<T>(cache));
  }
  cuda::PagedKeyValues<T> view() { return {storage->data(), storage->data() + page_size, 2 * page_size}; }

  const int64_t page_size;
  std::vector<int32_t> begin, tables;
  std::unique_ptr<DeviceArray<T>> storage;  // [pages, keys or values, kv_heads, 16, head_size]
};

class PagedAttentionTest : public EveryDevice {
 protected:
  // One row at the end of each sequence; length 0 is padding. keys, values: [positions of all, kv_heads, head_size].
  std::vector<float> Run(const AttentionShape& shape, const std::vector<int64_t>& lengths,
                         const std::vector<float>& keys, const std::vector<float>& values,
                         const std::vector<float>& query, int64_t splits) {
    return WithType([&]<class T>(T) {
      DeviceCache<T> cache(shape, lengths, keys, values);
      std::vector<int32_t> last;
      for (const int64_t length : lengths) last.push_back(static_cast<int32_t>(length - 1));
      DeviceArray<int32_t> positions(last), tables(cache.tables), begin(cache.begin);
      const int64_t rows = static_cast<int64_t>(lengths.size()), width = shape.heads * shape.head_size;
      std::vector<float> apart;  // a query is followed by three numbers that do not belong to it
      for (int64_t r = 0; r < rows; ++r) {
        apart.insert(apart.end(), query.begin() + r * width, query.begin() + (r + 1) * width);
        apart.insert(apart.end(), 3, std::numeric_limits<float>::quiet_NaN());
      }
      DeviceArray<T> q(As<T>(apart)), out(As<T>(std::vector<float>(query.size(), 0.5f)));
      DeviceArray<float> scratch(std::vector<float>(cuda::AttendScratch(shape, rows, splits)));
      ExpectOk(cuda::Attend(shape, {rows, positions.data(), tables.data(), begin.data()}, q.data(), width + 3,
                            cache.view(), splits, scratch.data(), out.data(), nullptr));
      return Floats(out.Fetch());
    });
  }
};
TANDEM_ON_CUDA_TYPES(PagedAttentionTest);

struct Batch {
  Batch(const AttentionShape& shape, std::vector<int64_t> rows_lengths, float scale = 1)
      : lengths(std::move(rows_lengths)) {
    for (const int64_t length : lengths) positions += length;
    keys = RandomFloats(positions * shape.kv_heads * shape.head_size, 1, scale);
    values = RandomFloats(positions * shape.kv_heads * shape.head_size, 2);
    query = RandomFloats(static_cast<int64_t>(lengths.size()) * shape.heads * shape.head_size, 3);
  }
  std::vector<int64_t> lengths;
  int64_t positions = 0;
  std::vector<float> keys, values, query;
};

TEST_P(PagedAttentionTest, AgreesWithAtenForAllKindsOfSizes) {
  for (const AttentionShape shape : {AttentionShape{4, 4, 16},
                                     {4, 2, 64},
                                     {6, 2, 20},
                                     {1, 1, 2},
                                     {7, 1, 64},
                                     {3, 1, 128},
                                     {10, 1, 8},
                                     {2, 1, 256},
                                     {2, 2, 80}}) {
    SCOPED_TRACE(testing::Message() << shape.heads << " heads, " << shape.kv_heads << " kv, size " << shape.head_size);
    Batch batch(shape, {1, 2, 15, 16, 17, 0, 33, 100, 256, 257, 600});
    for (auto* numbers : {&batch.keys, &batch.values, &batch.query}) *numbers = Stored(*numbers);
    const std::vector<float> out = Run(shape, batch.lengths, batch.keys, batch.values, batch.query, 3);
    const int64_t width = shape.heads * shape.head_size, group = shape.heads / shape.kv_heads;
    int64_t first = 0;
    for (size_t r = 0; r < batch.lengths.size(); ++r) {
      SCOPED_TRACE(testing::Message() << "length " << batch.lengths[r]);
      const auto begin = out.begin() + static_cast<int64_t>(r) * width;
      const std::vector<float> row(begin, begin + width);
      if (batch.lengths[r] == 0) {
        EXPECT_EQ(row, std::vector<float>(width, 0.5f)) << "padding was written";
        continue;
      }
      const auto of_row = [&](const std::vector<float>& all) {
        const at::Tensor tensor = Double(all, {batch.positions, shape.kv_heads, shape.head_size});
        return tensor.narrow(0, first, batch.lengths[r]).repeat_interleave(group, 1);
      };
      const at::Tensor q = Double({batch.query.begin() + static_cast<int64_t>(r) * width,
                                   batch.query.begin() + static_cast<int64_t>(r + 1) * width},
                                  {shape.heads, shape.head_size});
      const at::Tensor weights = at::softmax((of_row(batch.keys) * q).sum(2) / std::sqrt(double(shape.head_size)), 0);
      ExpectClose(row, (weights.unsqueeze(2) * of_row(batch.values)).sum(0), 5e-6, relative(1e-5));
      first += batch.lengths[r];
    }
  }
}

TEST_P(PagedAttentionTest, IsStableForLargeScores) {
  const AttentionShape shape{2, 1, 16};
  Batch batch(shape, {300}, /*scale=*/300);
  for (const float x : Run(shape, batch.lengths, batch.keys, batch.values, batch.query, 2)) {
    EXPECT_TRUE(std::isfinite(x));
  }
}

// Neither the other rows nor room for more splits changes a bit; long rows have longer splits.
TEST_P(PagedAttentionTest, RowsDoNotDependOnTheirBatch) {
  const AttentionShape shape{2, 1, 8};
  const Batch batch(shape, {9000, 5, 700, 0, 256});
  const std::vector<float> all = Run(shape, batch.lengths, batch.keys, batch.values, batch.query, 32);
  int64_t first = 0;
  for (size_t r = 0; r < batch.lengths.size(); ++r) {
    const auto part = [&](const std::vector<float>& numbers) {
      return std::vector<float>(numbers.begin() + first * 8, numbers.begin() + (first + batch.lengths[r]) * 8);
    };
    const auto of_row = [&](const std::vector<float>& numbers) {
      return std::vector<float>(numbers.begin() + static_cast<int64_t>(r) * 16,
                                numbers.begin() + static_cast<int64_t>(r + 1) * 16);
    };
    const std::vector<float> one = Run(shape, {batch.lengths[r]}, part(batch.keys), part(batch.values),
                                       of_row(batch.query), cuda::SplitKeys(batch.lengths[r]).count);
    EXPECT_EQ(one, of_row(all)) << "row " << r;
    first += batch.lengths[r];
  }
}

TEST_P(PagedAttentionTest, HeadsThatAreTooLargeAreRefused) {
  WithType([&]<class T>(T) {
    T* none = nullptr;
    EXPECT_TRUE(
        absl::IsInvalidArgument(cuda::Attend({1, 1, 258}, {}, none, 0, {none, none, 0}, 1, nullptr, none, nullptr)));
    return 0;
  });
}

class StoreTurnedTest : public EveryDevice {};
TANDEM_ON_CUDA_TYPES(StoreTurnedTest);

TEST_P(StoreTurnedTest, AgreesWithAtensRotateHalf) {
  const std::vector<int32_t> positions = {0, 21, -1, 20, 3};
  const std::vector<int32_t> begin = {0, 1, 0, 1, 3}, tables = {4, 2, 0, 3};
  const int64_t rows = 5, context = 24, pages = 5;
  for (const AttentionShape shape : {AttentionShape{4, 2, 10}, {2, 1, 64}, {3, 3, 16}, {1, 1, 128}}) {
    for (const bool with_norm : {false, true}) {
      SCOPED_TRACE(testing::Message() << "head size " << shape.head_size << ", norm " << with_norm);
      const int64_t size = shape.head_size, half = size / 2, of_row = shape.heads + 2 * shape.kv_heads;
      const std::vector<float> qkv = Stored(RandomFloats(rows * of_row * size, 1)),
                               angles = RandomFloats(context * half, 2);
      const std::vector<float> bias = RandomFloats(of_row * size, 3), norms = RandomFloats(2 * size, 4);
      std::vector<float> cosine, sine;
      for (const float angle : angles) cosine.push_back(std::cos(angle)), sine.push_back(std::sin(angle));
      // [rows, heads, size]: biased, normed, turned.
      const at::Tensor biased = Double(qkv, {rows, of_row, size}) + Double(bias, {of_row, size});
      const auto turned = [&](int64_t first, int64_t heads, int64_t norm) {
        at::Tensor x = biased.narrow(1, first, heads);
        if (with_norm) {
          x = x / at::sqrt(x.square().mean(2, true) + 1e-6) * Double(norms, {2, size})[norm];
        }
        const at::Tensor index = at::tensor(positions).to(at::kLong).clamp_min(0);
        const at::Tensor c = Double(cosine, {context, half}).index_select(0, index).unsqueeze(1);
        const at::Tensor s = Double(sine, {context, half}).index_select(0, index).unsqueeze(1);
        const at::Tensor low = x.narrow(2, 0, half), high = x.narrow(2, half, half);
        return at::cat({low * c - high * s, high * c + low * s}, 2);
      };
      const at::Tensor queries = turned(0, shape.heads, 0), keys = turned(shape.heads, shape.kv_heads, 1);
      const at::Tensor values = biased.narrow(1, shape.heads + shape.kv_heads, shape.kv_heads);
      WithType([&]<class T>(T) {
        const int64_t page_size = shape.kv_heads * kPagePositions * size;
        DeviceArray<T> x(As<T>(qkv)), cache(As<T>(std::vector<float>(2 * pages * page_size, 0.5f)));
        DeviceArray<float> b(bias), n(norms), c(cosine), s(sine);
        DeviceArray<int32_t> p(positions), t(tables), first(begin);
        ExpectOk(cuda::StoreTurned(shape, {rows, p.data(), t.data(), first.data()},
                                   {.qkv = x.data(),
                                    .bias = b.data(),
                                    .q_norm = with_norm ? n.data() : nullptr,
                                    .k_norm = with_norm ? n.data() + size : nullptr,
                                    .epsilon = 1e-6f,
                                    .cosine = c.data(),
                                    .sine = s.data()},
                                   {cache.data(), cache.data() + page_size, 2 * page_size}, nullptr));
        const std::vector<float> after = Floats(x.Fetch()), stored = Floats(cache.Fetch());
        int64_t untouched = 2 * pages * page_size;
        for (int64_t r = 0; r < rows; ++r) {
          const auto row = after.begin() + r * of_row * size;
          if (positions[r] < 0) {
            EXPECT_EQ(std::vector<float>(row, row + of_row * size),
                      std::vector<float>(qkv.begin() + r * of_row * size, qkv.begin() + (r + 1) * of_row * size));
            continue;
          }
          ExpectClose({row, row + shape.heads * size}, queries[r], 2e-6, relative());
          const int64_t page = tables[begin[r] + positions[r] / 16];
          for (int64_t head = 0; head < shape.kv_heads; ++head) {
            const auto key = stored.begin() + 2 * page * page_size + (head * kPagePositions + positions[r] % 16) * size;
            ExpectClose({key, key + size}, keys[r][head], 2e-6, relative());
            ExpectClose({key + page_size, key + page_size + size}, values[r][head], 2e-6, relative());
            untouched -= 2 * size;
          }
        }
        EXPECT_GE(std::count(stored.begin(), stored.end(), 0.5f), untouched);
        return 0;
      });
    }
  }
}

}  // namespace
}  // namespace tandem::kernels
