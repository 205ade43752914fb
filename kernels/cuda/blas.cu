#include <cublas_v2.h>
#include <dlfcn.h>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/error.h"

namespace tandem::kernels::cuda {
namespace {

// What cuBLAS's documentation recommends for Hopper.
constexpr size_t kWorkspace = size_t{32} << 20;

struct Library {
  decltype(&cublasCreate_v2) create = nullptr;
  decltype(&cublasDestroy_v2) destroy = nullptr;
  decltype(&cublasSetStream_v2) set_stream = nullptr;
  decltype(&cublasSetWorkspace_v2) set_workspace = nullptr;
  decltype(&cublasSetMathMode) set_math_mode = nullptr;
  decltype(&cublasGemmEx_64) gemm = nullptr;
};

absl::StatusOr<Library> Open() {
  const std::string name = absl::StrCat("libcublas.so.", CUBLAS_VER_MAJOR);
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed
  if (library == nullptr) {
    const char* why = dlerror();
    return absl::UnavailableError(absl::StrCat("cuBLAS cannot be loaded: ", why != nullptr ? why : name.c_str()));
  }
  Library found;
  const auto find = [&](auto& function, const char* symbol) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, symbol));
    return function != nullptr;
  };
  if (!find(found.create, "cublasCreate_v2") || !find(found.destroy, "cublasDestroy_v2") ||
      !find(found.set_stream, "cublasSetStream_v2") || !find(found.set_workspace, "cublasSetWorkspace_v2") ||
      !find(found.set_math_mode, "cublasSetMathMode") || !find(found.gemm, "cublasGemmEx_64")) {
    return absl::UnavailableError(absl::StrCat(name, " lacks a function that is needed"));
  }
  return found;
}

absl::Status ToStatus(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("cuBLAS: ", what, " returned ", static_cast<int>(status)));
}

class LoadedBlas final : public Blas {
 public:
  explicit LoadedBlas(const Library& library) : library_(library) {}
  ~LoadedBlas() override {
    if (handle_ != nullptr) library_.destroy(handle_);
    if (workspace_ != nullptr) Free(workspace_);
  }

  absl::Status Start(Stream stream) {
    TANDEM_RETURN_IF_ERROR(ToStatus(library_.create(&handle_), "cublasCreate"));
    // The stream first: setting it puts the workspace back to the library's own, which a graph cannot keep.
    TANDEM_RETURN_IF_ERROR(ToStatus(library_.set_stream(handle_, stream), "cublasSetStream"));
    TANDEM_ASSIGN_OR_RETURN(workspace_, Allocate(kWorkspace));
    TANDEM_RETURN_IF_ERROR(ToStatus(library_.set_workspace(handle_, workspace_, kWorkspace), "cublasSetWorkspace"));
    // Parts of a sum stay in float too.
    return ToStatus(library_.set_math_mode(handle_, CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION),
                    "cublasSetMathMode");
  }

  absl::Status Linear(const float* x, int64_t rows, const float* weight, int64_t in, int64_t out, float* y) override {
    return Multiply(x, rows, weight, in, out, y, CUDA_R_32F, CUDA_R_32F);
  }
  absl::Status Linear(const BFloat16* x, int64_t rows, const BFloat16* weight, int64_t in, int64_t out,
                      BFloat16* y) override {
    return Multiply(x, rows, weight, in, out, y, CUDA_R_16BF, CUDA_R_16BF);
  }
  absl::Status Linear(const BFloat16* x, int64_t rows, const BFloat16* weight, int64_t in, int64_t out,
                      float* y) override {
    return Multiply(x, rows, weight, in, out, y, CUDA_R_16BF, CUDA_R_32F);
  }

 private:
  // cuBLAS counts by columns: what is y [rows, out] to us is [out, rows] to it, and W^T x^T is it.
  absl::Status Multiply(const void* x, int64_t rows, const void* weight, int64_t in, int64_t out, void* y,
                        cudaDataType inputs, cudaDataType output) {
    if (rows == 0 || out == 0) return absl::OkStatus();
    const float one = 1, zero = 0;
    return ToStatus(library_.gemm(handle_, CUBLAS_OP_T, CUBLAS_OP_N, out, rows, in, &one, weight, inputs, in, x, inputs,
                                  in, &zero, y, output, out, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                    "cublasGemmEx");
  }

  const Library library_;
  cublasHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Blas>> Blas::Create(Stream stream) {
  if (Devices() == 0) return absl::UnavailableError("cuBLAS: there is no CUDA device");
  TANDEM_ASSIGN_OR_RETURN(const Library library, Open());
  auto blas = std::make_unique<LoadedBlas>(library);
  TANDEM_RETURN_IF_ERROR(blas->Start(stream));
  return blas;
}

}  // namespace tandem::kernels::cuda
