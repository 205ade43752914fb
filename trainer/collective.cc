#include "trainer/collective.h"

#include <ATen/ATen.h>
#include <dlfcn.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "trainer/nccl_module.h"

namespace tandem {
namespace {

class LocalCollective final : public Collective {
 public:
  uint32_t rank() const override { return 0; }
  uint32_t size() const override { return 1; }
  absl::Status AllReduceSum(const at::Tensor&) override { return absl::OkStatus(); }
  absl::Status AllReduceMax(const at::Tensor&) override { return absl::OkStatus(); }
  absl::Status Barrier() override { return absl::OkStatus(); }
};

std::string BesideThisBinary(const char* name) {
  std::error_code error;
  const std::filesystem::path binary = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string(name) : (binary.parent_path() / name).string();
}

}  // namespace

std::unique_ptr<Collective> MakeLocalCollective() { return std::make_unique<LocalCollective>(); }

absl::StatusOr<std::unique_ptr<Collective>> MakeNcclCollective(const CollectiveOptions& options) {
  const std::string path = BesideThisBinary(kNcclModule);
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed: the collective's code lives in it
  if (module == nullptr) {
    return absl::UnavailableError(absl::StrCat(options.who, ": ranks on GPUs need ", path,
                                               ", which is built where a CUDA toolkit with nccl.h is: ", dlerror()));
  }
  const auto make = reinterpret_cast<MakeNcclFunction>(dlsym(module, kMakeNccl));
  if (make == nullptr) {
    return absl::InternalError(absl::StrCat(kNcclModule, ": has no ", kMakeNccl, "; expected a module of this build"));
  }
  std::string error;
  std::unique_ptr<Collective> collective(make(options, error));
  if (collective == nullptr) return absl::UnavailableError(error);
  return collective;
}

absl::StatusOr<std::unique_ptr<Collective>> MakeCollective(const CollectiveOptions& options,
                                                           const std::string& device) {
  if (options.ranks == 1) return MakeLocalCollective();
  return device == "cuda" ? MakeNcclCollective(options) : MakeGlooCollective(options);
}

absl::StatusOr<bool> AnyRank(Collective& collective, bool flag, const std::string& device) {
  if (collective.size() == 1) return flag;
  const at::Tensor said = at::full({1}, flag ? 1.0 : 0.0, at::TensorOptions().dtype(at::kFloat).device(device));
  TANDEM_RETURN_IF_ERROR(collective.AllReduceMax(said));
  return said.item<float>() > 0;
}

}  // namespace tandem
