#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "trainer/c10d_collective.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<Collective>> MakeGlooCollective(const CollectiveOptions& options) {
  return C10dCollective::Meet(options, "cpu", [&](const c10::intrusive_ptr<c10d::Store>& store) {
    auto gloo = c10d::ProcessGroupGloo::Options::create(
        std::chrono::milliseconds(static_cast<int64_t>(options.timeout_s * 1000)));
    gloo->devices = {c10d::ProcessGroupGloo::createDeviceForHostname("localhost")};
    gloo->threads = 1;
    return c10::intrusive_ptr<c10d::Backend>(c10::make_intrusive<c10d::ProcessGroupGloo>(
        store, static_cast<int>(options.rank), static_cast<int>(options.ranks), gloo));
  });
}

}  // namespace tandem
