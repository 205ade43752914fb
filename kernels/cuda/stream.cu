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

absl::Status CopyToDevice(void* device, const void* host, size_t bytes, Stream stream) {
  const cudaError_t error = cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream);
  return ToStatus(error == cudaSuccess ? cudaStreamSynchronize(stream) : error, "copy to the device");
}

absl::Status CopyToHost(void* host, const void* device, size_t bytes, Stream stream) {
  const cudaError_t error = cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream);
  return ToStatus(error == cudaSuccess ? cudaStreamSynchronize(stream) : error, "copy to the host");
}

}  // namespace tandem::kernels::cuda
