// An array of floats that starts on a cache line.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/status.h"

namespace tandem {

class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(int64_t size) { Resize(size); }

  // All zero afterwards.
  void Resize(int64_t size) {
    const size_t bytes = (static_cast<size_t>(size) * sizeof(float) + 63) / 64 * 64 + 64;
    data_.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
    TANDEM_CHECK(data_ != nullptr);
    std::fill_n(data_.get(), bytes / sizeof(float), 0.0f);
    size_ = size;
  }
  float* data() { return data_.get(); }
  const float* data() const { return data_.get(); }
  int64_t size() const { return size_; }

 private:
  struct Free {
    void operator()(float* data) const { std::free(data); }
  };
  std::unique_ptr<float[], Free> data_;
  int64_t size_ = 0;
};

}  // namespace tandem
