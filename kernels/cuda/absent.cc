// What stands in for the CUDA kernels in a build without CUDA.
#include "kernels/cuda/stream.h"
#include "kernels/rms_norm.h"
#include "kernels/sampling.h"

namespace tandem::kernels::cuda {
namespace {
absl::Status Absent() { return absl::UnavailableError("this build has no CUDA kernels (no nvcc was found)"); }
}  // namespace

int Devices() { return 0; }
absl::StatusOr<void*> Allocate(size_t) { return Absent(); }
void Free(void*) {}
absl::Status CopyToDevice(void*, const void*, size_t, Stream) { return Absent(); }
absl::Status CopyToHost(void*, const void*, size_t, Stream) { return Absent(); }
absl::Status RmsNorm(const float*, int64_t, int64_t, const float*, float, float*, Stream) { return Absent(); }
absl::Status Sample(const float*, int64_t, int64_t, const float*, const float*, Draw*, Stream) { return Absent(); }

}  // namespace tandem::kernels::cuda
