// Memory that starts on a cache line, on huge pages where it is large.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/status.h"

namespace tandem {

class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(int64_t size) { Resize(size); }

  // All zero afterwards.
  void Resize(int64_t size) {
    Take(size);
    std::memset(data_.get(), 0, static_cast<size_t>(size));
  }
  // With anything in it, and so at once: the system gives each page when it is first written. Weights are read from
  // front to back again and again: on small pages the processor would wait for addresses.
  void Take(int64_t size) {
    constexpr size_t kLine = 64, kHugePage = size_t{2} << 20;
    const size_t step = static_cast<size_t>(size) >= kHugePage ? kHugePage : kLine;
    const size_t bytes = (static_cast<size_t>(size) + step - 1) / step * step + (step == kLine ? kLine : 0);
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(step, bytes)));
    TANDEM_CHECK(data_ != nullptr);
    if (step == kHugePage) madvise(data_.get(), bytes, MADV_HUGEPAGE);
    size_ = size;
  }
  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  int64_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* data) const { std::free(data); }
  };
  std::unique_ptr<std::byte[], Free> data_;
  int64_t size_ = 0;
};

// An array of floats in such memory.
class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(int64_t size) { Resize(size); }
  void Resize(int64_t size) { bytes_.Resize(size * static_cast<int64_t>(sizeof(float))); }
  float* data() { return reinterpret_cast<float*>(bytes_.data()); }
  const float* data() const { return reinterpret_cast<const float*>(bytes_.data()); }
  int64_t size() const { return bytes_.size() / static_cast<int64_t>(sizeof(float)); }

 private:
  AlignedBytes bytes_;
};

}  // namespace tandem
