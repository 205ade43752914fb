#include <filesystem>
#include <memory>
#include <span>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "launch/commands.h"
#include "policy/files/model_folder.h"
#include "policy/files/save_model_folder.h"

namespace tandem {
namespace {

absl::StatusOr<Dtype> DtypeOf(const ConvertFlags& flags, const ModelFolder& source) {
  if (flags.dtype.empty()) return source.weights.Find("model.embed_tokens.weight")->tensor->dtype;
  if (flags.dtype == "float32") return Dtype::kF32;
  if (flags.dtype == "bf16") return Dtype::kBF16;
  if (flags.dtype == "f16") return Dtype::kF16;
  return absl::InvalidArgumentError(absl::StrCat("--dtype ", flags.dtype, ": expected float32, bf16 or f16"));
}

absl::Status Convert(const ConvertFlags& flags) {
  TANDEM_ASSIGN_OR_RETURN(const ModelFolder folder, LoadModelFolder(flags.source));
  TANDEM_ASSIGN_OR_RETURN(const Dtype dtype, DtypeOf(flags, folder));
  if (std::filesystem::exists(flags.target)) {
    return absl::FailedPreconditionError(absl::StrCat(flags.target, ": is there already; expected a new folder"));
  }
  const auto count = static_cast<size_t>(ParameterCount(folder.shape()));
  const std::unique_ptr<float[]> weights(new float[count]);  // not touched: ReadWeights is then fastest
  TANDEM_RETURN_IF_ERROR(ReadWeights(folder, {weights.get(), count}));
  return SaveModelFolder(flags.target, folder.shape(), {weights.get(), count},
                         {.dtype = dtype, .source = flags.source});
}

}  // namespace

int ConvertModel(const ConvertFlags& flags) {
  const absl::Status done = Convert(flags);
  return done.ok() ? kExitFine : BadInput(done);
}

}  // namespace tandem
