// libtandem_nccl.so: built where a CUDA toolkit with nccl.h is (cmake/Nccl.cmake), loaded when ranks train on GPUs.
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>

#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "absl/strings/str_cat.h"
#include "trainer/c10d_collective.h"
#include "trainer/nccl_module.h"

extern "C" __attribute__((visibility("default"))) tandem::Collective* TandemMakeNcclCollective(
    const tandem::CollectiveOptions& options, std::string& error) {
  const int devices = c10::cuda::device_count();
  if (static_cast<int>(options.ranks) > devices) {
    error = absl::StrCat(options.who, ": ", options.ranks, " ranks on GPUs need as many GPUs; there are ", devices);
    return nullptr;
  }
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(options.rank));
  auto collective = tandem::C10dCollective::Meet(
      options, absl::StrCat("cuda:", options.rank), [&](const c10::intrusive_ptr<c10d::Store>& store) {
        auto nccl = c10d::ProcessGroupNCCL::Options::create();
        nccl->timeout = std::chrono::milliseconds(static_cast<int64_t>(options.timeout_s * 1000));
        return c10::intrusive_ptr<c10d::Backend>(c10::make_intrusive<c10d::ProcessGroupNCCL>(
            store, static_cast<int>(options.rank), static_cast<int>(options.ranks), nccl));
      });
  if (!collective.ok()) {
    error = std::string(collective.status().message());
    return nullptr;
  }
  return std::move(collective).value().release();
}
