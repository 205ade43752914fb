// What the ranks of one policy agree on: sums, maxima, and that all have come so far.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// Every call is made by all ranks in the same order, and blocks until all have made it. Afterwards all ranks hold the
// same bits. kDeadlineExceeded or kUnavailable name the ranks that did not come and what was waited for; after an error
// the collective is of no more use. Not thread-safe.
class Collective {
 public:
  virtual ~Collective() = default;
  virtual uint32_t rank() const = 0;
  virtual uint32_t size() const = 0;

  // In place; the same shape and type on every rank.
  virtual absl::Status AllReduceSum(const at::Tensor& tensor) = 0;
  virtual absl::Status AllReduceMax(const at::Tensor& tensor) = 0;
  virtual absl::Status Barrier() = 0;
};

struct CollectiveOptions {
  std::string who;  // in errors: "trainer planner"
  uint32_t rank = 0;
  uint32_t ranks = 1;
  std::string rendezvous;  // a file that all ranks reach; it must not be there before the first of them starts
  double timeout_s = 300;  // of each call, and of the first meeting
};

// One rank: nothing to do.
std::unique_ptr<Collective> MakeLocalCollective();

// Gloo over TCP on the loopback device, for tensors on the CPU.
absl::StatusOr<std::unique_ptr<Collective>> MakeGlooCollective(const CollectiveOptions& options);

// NCCL, for tensors on the GPU; this process's device is `rank`. It lives in libtandem_nccl.so, which is loaded here,
// since only a machine with a CUDA toolkit builds it. kUnavailable: it is not there.
absl::StatusOr<std::unique_ptr<Collective>> MakeNcclCollective(const CollectiveOptions& options);

// The one that fits: local, Gloo or NCCL. `device`: "cpu" or "cuda".
absl::StatusOr<std::unique_ptr<Collective>> MakeCollective(const CollectiveOptions& options, const std::string& device);

// Whether any rank says `flag`; the same answer on all. `device`: where the collective's tensors live.
absl::StatusOr<bool> AnyRank(Collective& collective, bool flag, const std::string& device);

}  // namespace tandem
