// Which decoder serves a device.
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "policy/device.h"
#include "rollout/engine/decoder.h"

namespace tandem {

absl::StatusOr<std::unique_ptr<Decoder>> MakeDecoder(const ModelConfig& config, int64_t pages,
                                                     const std::string& device, kernels::WeightType weights) {
  TANDEM_ASSIGN_OR_RETURN(const std::string resolved, ResolveDevice(device));
  if (resolved == "cpu") {
    TANDEM_RETURN_IF_ERROR(CheckModelConfig(config));
    return MakeCpuDecoder(config, pages, weights);
  }
  if (weights == kernels::WeightType::kInt8) {
    return absl::InvalidArgumentError(absl::StrCat("precision int8 is for the CPU, not for ", resolved));
  }
  const bool bf16 = weights == kernels::WeightType::kBf16;
  if (resolved == "cuda") {  // LibTorch's CUDA part is loaded now, and with it cuBLAS
    absl::StatusOr<std::unique_ptr<Decoder>> decoder = MakeCudaDecoder(config, pages, bf16);
    if (!absl::IsUnavailable(decoder.status())) return decoder;
    LogWarning("the engine computes with ATen, which is slower: ", decoder.status().message());
  }
  return MakeAtenDecoder(config, pages, resolved, bf16);
}

}  // namespace tandem
