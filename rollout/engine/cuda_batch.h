// What a decode step reads on the device: who its rows are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "kernels/attention.h"
#include "policy/model_config.h"
#include "rollout/engine/cuda_memory.h"
#include "rollout/engine/decoder.h"

namespace tandem {

// Rows of a pass, in one copy from the host. A pass of the same number of rows finds everything at the same address: a
// graph that was recorded for one fits the next.
class CudaBatch {
 public:
  // For passes of up to `rows` rows.
  absl::Status Allocate(const ModelConfig& config, int64_t rows);

  // Queues the copy of `rows` to the device, filled up with padding to `padded` rows. What was queued before must be
  // done. `pages`: of the cache.
  absl::Status Fill(std::span<const DecodeRow> rows, int64_t padded, int64_t pages, kernels::cuda::Stream stream);

  int64_t rows() const { return rows_; }        // with padding
  int64_t longest() const { return longest_; }  // positions that a row attends to, at most
  // Indices of the rows that sample, in their order.
  const std::vector<int32_t>& wanted() const { return wanted_; }

  // On the device.
  kernels::cuda::PagedRows paged() const { return {rows_, Field(1), Field(kFields), Field(2)}; }
  const int32_t* tokens() const { return Field(0); }
  const int32_t* wanted_rows() const { return Field(3); }
  // Of the wanted rows.
  const float* temperatures() const { return reinterpret_cast<const float*>(Field(4)); }
  const float* uniforms() const { return reinterpret_cast<const float*>(Field(5)); }

 private:
  static constexpr int64_t kFields = 6;  // of `rows` numbers each; the page tables follow
  const int32_t* Field(int64_t n) const { return device_.data() + n * rows_; }

  int64_t vocabulary_ = 0, context_ = 0, most_rows_ = 0;
  int64_t rows_ = 0, longest_ = 0;
  std::vector<int32_t> wanted_;
  CudaArray<int32_t> device_;
  PinnedArray<int32_t> host_;
};

}  // namespace tandem
