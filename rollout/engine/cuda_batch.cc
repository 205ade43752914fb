#include "rollout/engine/cuda_batch.h"

#include <algorithm>
#include <bit>

#include "absl/container/flat_hash_map.h"
#include "base/random.h"
#include "base/status.h"

namespace tandem {

absl::Status CudaBatch::Allocate(const ModelConfig& config, int64_t rows) {
  vocabulary_ = config.vocabulary;
  context_ = config.context;
  most_rows_ = rows;
  const int64_t size = rows * (kFields + CachePages(context_, 1));
  TANDEM_RETURN_IF_ERROR(device_.Allocate(size));
  return host_.Allocate(size);
}

absl::Status CudaBatch::Fill(std::span<const DecodeRow> rows, int64_t padded, int64_t pages,
                             kernels::cuda::Stream stream) {
  TANDEM_CHECK(static_cast<int64_t>(rows.size()) <= padded && padded <= most_rows_);
  rows_ = padded;
  longest_ = 0;
  wanted_.clear();
  int32_t* const host = host_.data();
  const auto field = [&](int64_t n) { return host + n * padded; };
  std::fill_n(host, kFields * padded, 0);
  std::fill_n(field(1), padded, -1);

  // Where each sequence's page table begins, after the fields; first how many pages it has.
  absl::flat_hash_map<const int32_t*, int32_t> begins;
  for (const DecodeRow& row : rows) {
    TANDEM_CHECK(row.token >= 0 && row.token < vocabulary_);
    TANDEM_CHECK(row.position >= 0 && row.position < context_);
    int32_t& count = begins[row.pages];
    count = std::max(count, row.position / kCachePage + 1);
    longest_ = std::max<int64_t>(longest_, row.position + 1);
  }
  int32_t end = 0;
  for (auto& [table, begin] : begins) {
    const int32_t count = begin;
    begin = end;
    for (int32_t i = 0; i < count; ++i) {
      TANDEM_CHECK(table[i] >= 0 && table[i] < pages);
      field(kFields)[end++] = table[i];
    }
  }

  for (size_t i = 0; i < rows.size(); ++i) {
    const DecodeRow& row = rows[i];
    field(0)[i] = row.token;
    field(1)[i] = row.position;
    field(2)[i] = begins.at(row.pages);
    if (!row.sample) continue;
    const size_t place = wanted_.size();
    const float uniform = UniformFloat(Philox(row.random_key, static_cast<uint64_t>(row.position) + 1)[0]);
    field(3)[place] = static_cast<int32_t>(i);
    field(4)[place] = std::bit_cast<int32_t>(row.temperature);
    field(5)[place] = std::bit_cast<int32_t>(uniform);
    wanted_.push_back(static_cast<int32_t>(i));
  }
  const auto bytes = static_cast<size_t>(kFields * padded + end) * sizeof(int32_t);
  return kernels::cuda::QueueCopy(device_.data(), host, bytes, stream);
}

}  // namespace tandem
