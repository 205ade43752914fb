#include "policy/device.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/TensorImpl.h>
#include <dlfcn.h>
#include <glob.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "policy/torch_status.h"

namespace tandem {
namespace {

// A GPU's driver makes /dev/nvidia0, 1, ...; under WSL it is /dev/dxg.
bool DeviceNodeExists() {
  glob_t found;
  const bool nvidia = glob("/dev/nvidia[0-9]*", GLOB_NOSORT, nullptr, &found) == 0;
  globfree(&found);
  return nvidia || std::filesystem::exists("/dev/dxg");
}

// Asks the driver itself, which is quick, before the gigabytes of libtorch_cuda.so are mapped.
absl::Status CheckDriver() {
  if (!DeviceNodeExists()) return absl::UnavailableError("there is no NVIDIA GPU here (no /dev/nvidia0)");
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) return absl::UnavailableError("the NVIDIA driver's libcuda.so.1 cannot be loaded");
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto count = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  if (init == nullptr || count == nullptr) return absl::UnavailableError("libcuda.so.1 lacks cuInit");
  int devices = 0;
  if (const int error = init(0); error != 0) {
    return absl::UnavailableError(absl::StrCat("the NVIDIA driver does not start (cuInit returned ", error, ")"));
  }
  if (count(&devices) != 0 || devices == 0) {
    return absl::UnavailableError("the NVIDIA driver shows no GPU (is CUDA_VISIBLE_DEVICES empty?)");
  }
  return absl::OkStatus();
}

// The folder that libtorch_cpu.so was loaded from.
std::string TorchFolder() {
  Dl_info info;
  const auto symbol = reinterpret_cast<const void*>(&at::globalContext);
  if (dladdr(symbol, &info) == 0 || info.dli_fname == nullptr) return "";
  return std::filesystem::path(info.dli_fname).parent_path().string();
}

absl::Status LoadCudaOnce() {
  TANDEM_RETURN_IF_ERROR(CheckDriver());
  const std::string path = absl::StrCat(TorchFolder(), "/libtorch_cuda.so");
  if (!std::filesystem::exists(path)) {
    return absl::UnavailableError(absl::StrCat("this LibTorch is built for the CPU only: there is no ", path));
  }
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* why = dlerror();
    return absl::UnavailableError(absl::StrCat("libtorch_cuda.so cannot be loaded (", why ? why : "no reason given",
                                               "); the CUDA libraries that its wheel depends on have to be installed"));
  }
  const auto devices = TorchStatus([] { return at::detail::getCUDAHooks().deviceCount(); });
  if (!devices.ok()) return absl::UnavailableError(devices.status().message());
  if (*devices == 0) return absl::UnavailableError("LibTorch sees no GPU, although the driver does");
  return absl::OkStatus();
}

}  // namespace

absl::Status LoadCuda() {
  static const absl::Status status = LoadCudaOnce();
  return status;
}

absl::StatusOr<std::string> ResolveDevice(std::string_view asked) {
  if (asked == "cpu") return std::string("cpu");
  if (asked != "cuda" && asked != "auto") {
    return absl::InvalidArgumentError(
        absl::StrCat("device: '", std::string(asked), "' is unknown; expected auto, cpu or cuda"));
  }
  if (asked == "auto" && !DeviceNodeExists()) return std::string("cpu");
  const absl::Status cuda = LoadCuda();
  if (cuda.ok()) return std::string("cuda");
  if (asked == "auto") {
    LogWarning("device: a GPU is there but not used: ", cuda.message());
    return std::string("cpu");
  }
  return absl::UnavailableError(absl::StrCat("device: cuda was asked for, but ", std::string(cuda.message())));
}

}  // namespace tandem
