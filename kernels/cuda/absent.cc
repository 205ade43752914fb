// What stands in for the CUDA kernels in a build without CUDA.
#include "kernels/attention.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/stream.h"
#include "kernels/linear_logprob.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/sampling.h"
#include "kernels/swiglu.h"

namespace tandem::kernels::cuda {
namespace {

absl::Status Absent() { return absl::UnavailableError("this build has no CUDA kernels (no nvcc was found)"); }

}  // namespace

int Devices() { return 0; }
absl::StatusOr<void*> Allocate(size_t) { return Absent(); }
void Free(void*) {}
absl::StatusOr<void*> AllocateHost(size_t) { return Absent(); }
void FreeHost(void*) {}
absl::StatusOr<Stream> MakeStream() { return Absent(); }
void DestroyStream(Stream) {}
absl::Status Synchronize(Stream) { return Absent(); }
absl::Status QueueCopy(void*, const void*, size_t, Stream) { return Absent(); }
absl::Status QueueZeros(void*, size_t, Stream) { return Absent(); }
absl::Status CopyToDevice(void*, const void*, size_t, Stream) { return Absent(); }
absl::Status CopyToHost(void*, const void*, size_t, Stream) { return Absent(); }

absl::StatusOr<Graph> Graph::Capture(Stream, absl::FunctionRef<absl::Status()>) { return Absent(); }
Graph::~Graph() = default;
absl::Status Graph::Launch(Stream) const { return Absent(); }
absl::StatusOr<std::unique_ptr<Blas>> Blas::Create(Stream) { return Absent(); }

absl::Status RmsNorm(const float*, int64_t, int64_t, const float*, float, float*, Stream) { return Absent(); }
absl::Status RmsNorm(const BFloat16*, int64_t, int64_t, const float*, float, BFloat16*, Stream) { return Absent(); }
absl::Status AddRmsNorm(float*, const float*, const float*, int64_t, int64_t, const float*, float, float*, Stream) {
  return Absent();
}
absl::Status AddRmsNorm(float*, const BFloat16*, const float*, int64_t, int64_t, const float*, float, BFloat16*,
                        Stream) {
  return Absent();
}
absl::Status Rotary(float*, int64_t, int64_t, int64_t, const int32_t*, const float*, const float*, Stream) {
  return Absent();
}
absl::Status Rotary(BFloat16*, int64_t, int64_t, int64_t, const int32_t*, const float*, const float*, Stream) {
  return Absent();
}
absl::Status SwiGlu(const float*, const float*, int64_t, int64_t, float*, Stream) { return Absent(); }
absl::Status SwiGlu(const BFloat16*, const float*, int64_t, int64_t, BFloat16*, Stream) { return Absent(); }
absl::Status StoreTurned(const AttentionShape&, const PagedRows&, const Projections<float>&,
                         const PagedKeyValues<float>&, Stream) {
  return Absent();
}
absl::Status StoreTurned(const AttentionShape&, const PagedRows&, const Projections<BFloat16>&,
                         const PagedKeyValues<BFloat16>&, Stream) {
  return Absent();
}
absl::Status Attend(const AttentionShape&, const PagedRows&, const float*, int64_t, const PagedKeyValues<float>&,
                    int64_t, float*, float*, Stream) {
  return Absent();
}
absl::Status Attend(const AttentionShape&, const PagedRows&, const BFloat16*, int64_t, const PagedKeyValues<BFloat16>&,
                    int64_t, float*, BFloat16*, Stream) {
  return Absent();
}
absl::Status LinearLogProb(const float*, int64_t, int64_t, const float*, int64_t, const int32_t*, float*, float*,
                           Stream) {
  return Absent();
}
absl::Status LinearLogProb(const BFloat16*, int64_t, int64_t, const BFloat16*, int64_t, const int32_t*, float*, float*,
                           Stream) {
  return Absent();
}
absl::Status Sample(const float*, int64_t, int64_t, const float*, const float*, Draw*, Stream) { return Absent(); }
absl::Status TakeRows(const float*, const int32_t*, int64_t, int64_t, float*, Stream) { return Absent(); }
absl::Status TakeRows(const BFloat16*, const int32_t*, int64_t, int64_t, BFloat16*, Stream) { return Absent(); }
absl::Status Convert(const float*, int64_t, BFloat16*, Stream) { return Absent(); }

}  // namespace tandem::kernels::cuda
