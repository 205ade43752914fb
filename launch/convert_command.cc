#include <memory>
#include <span>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "launch/commands.h"
#include "policy/files/model_folder.h"
#include "policy/files/save_model_folder.h"

namespace tandem {
namespace {

absl::Status Convert(const ConvertFlags& flags) {
  TANDEM_ASSIGN_OR_RETURN(const ModelFolder folder, LoadModelFolder(flags.source));
  Dtype dtype = folder.weights.dtype();
  if (!flags.dtype.empty()) {
    TANDEM_ASSIGN_OR_RETURN(dtype, DtypeOf(flags.dtype));
  }
  const auto count = static_cast<size_t>(ParameterCount(folder.shape()));
  const std::unique_ptr<float[]> weights(new float[count]);  // not touched: ReadWeights is then fastest
  TANDEM_RETURN_IF_ERROR(ReadWeights(folder, {weights.get(), count}));
  return SaveModelFolder(flags.target, folder.config, {weights.get(), count}, dtype, folder);
}

}  // namespace

int ConvertModel(const ConvertFlags& flags) {
  const absl::Status done = Convert(flags);
  return done.ok() ? kExitFine : BadInput(done);
}

}  // namespace tandem
