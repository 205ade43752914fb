#include "kernels/cuda/error.h"
#include "kernels/cuda/stream.h"

namespace tandem::kernels::cuda {

int Devices() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

absl::StatusOr<void*> Allocate(size_t bytes) {
  void* memory = nullptr;
  const absl::Status status = ToStatus(cudaMalloc(&memory, bytes), "cudaMalloc");
  if (!status.ok()) return status;
  return memory;
}

void Free(void* memory) { cudaFree(memory); }

absl::StatusOr<void*> AllocateHost(size_t bytes) {
  void* memory = nullptr;
  const absl::Status status = ToStatus(cudaMallocHost(&memory, bytes), "cudaMallocHost");
  if (!status.ok()) return status;
  return memory;
}

void FreeHost(void* memory) { cudaFreeHost(memory); }

absl::StatusOr<Stream> MakeStream() {
  Stream stream = nullptr;
  const absl::Status status =
      ToStatus(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  if (!status.ok()) return status;
  return stream;
}

void DestroyStream(Stream stream) { cudaStreamDestroy(stream); }

absl::Status Synchronize(Stream stream) { return ToStatus(cudaStreamSynchronize(stream), "cudaStreamSynchronize"); }

absl::Status QueueCopy(void* to, const void* from, size_t bytes, Stream stream) {
  return ToStatus(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), "cudaMemcpyAsync");
}

absl::Status QueueZeros(void* memory, size_t bytes, Stream stream) {
  return ToStatus(cudaMemsetAsync(memory, 0, bytes, stream), "cudaMemsetAsync");
}

absl::Status CopyToDevice(void* device, const void* host, size_t bytes, Stream stream) {
  const cudaError_t error = cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream);
  return ToStatus(error == cudaSuccess ? cudaStreamSynchronize(stream) : error, "copy to the device");
}

absl::Status CopyToHost(void* host, const void* device, size_t bytes, Stream stream) {
  const cudaError_t error = cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream);
  return ToStatus(error == cudaSuccess ? cudaStreamSynchronize(stream) : error, "copy to the host");
}

}  // namespace tandem::kernels::cuda
