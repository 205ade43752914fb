// The little of CUDA's runtime that callers of the CUDA kernels need, without CUDA's headers. In a build without CUDA
// every function is there: Devices() is 0 and the others return kUnavailable.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct CUstream_st;

namespace tandem::kernels::cuda {

using Stream = CUstream_st*;  // cudaStream_t; nullptr is the default stream

// Devices that can be used; 0 without a driver.
int Devices();

// Device memory, owned by the caller until Free.
absl::StatusOr<void*> Allocate(size_t bytes);
void Free(void* memory);

// Host memory that copies need not stage; owned by the caller until FreeHost.
absl::StatusOr<void*> AllocateHost(size_t bytes);
void FreeHost(void* memory);

// A stream beside the default one, owned by the caller until DestroyStream: the default one cannot be captured.
absl::StatusOr<Stream> MakeStream();
void DestroyStream(Stream stream);

// Blocks until all that was queued on `stream` is done; its error, if one of them failed.
absl::Status Synchronize(Stream stream);

// Queues a copy, or zeros, on `stream`, and returns. Between any two memories; host memory from AllocateHost is to stay
// as it is until the copy is done.
absl::Status QueueCopy(void* to, const void* from, size_t bytes, Stream stream);
absl::Status QueueZeros(void* memory, size_t bytes, Stream stream);

// Copies between host and device; block until the copy, and what was queued on `stream` before it, is done.
absl::Status CopyToDevice(void* device, const void* host, size_t bytes, Stream stream);
absl::Status CopyToHost(void* host, const void* device, size_t bytes, Stream stream);

}  // namespace tandem::kernels::cuda
