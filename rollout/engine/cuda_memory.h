// Memory that a CUDA decoder owns.
#pragma once

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "base/status.h"
#include "kernels/cuda/stream.h"

namespace tandem {

// An array of T on the device, or in host memory that is quick to copy from and to. Not initialised; empty until
// Allocate.
template <class T, bool host = false>
class CudaArray {
 public:
  CudaArray() = default;
  CudaArray(const CudaArray&) = delete;
  CudaArray& operator=(const CudaArray&) = delete;
  ~CudaArray() {
    if (data_ == nullptr) return;
    if (host) {
      kernels::cuda::FreeHost(data_);
    } else {
      kernels::cuda::Free(data_);
    }
  }

  // Once. kResourceExhausted: that much is not left.
  absl::Status Allocate(int64_t size) {
    TANDEM_CHECK(data_ == nullptr);
    const auto bytes = static_cast<size_t>(size) * sizeof(T);
    TANDEM_ASSIGN_OR_RETURN(void* const memory,
                            host ? kernels::cuda::AllocateHost(bytes) : kernels::cuda::Allocate(bytes));
    data_ = static_cast<T*>(memory);
    return absl::OkStatus();
  }
  T* data() const { return data_; }

 private:
  T* data_ = nullptr;
};
template <class T>
using PinnedArray = CudaArray<T, true>;

}  // namespace tandem
