// Loads a model folder and saves it again, for tests/parity/check_model_folders.py:
//   resave_model_folder SOURCE DESTINATION F32|BF16|F16 MOST_SHARD_BYTES same|fresh
// same: with SOURCE's unknown fields and tokenizer; fresh: from the shape alone.
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "policy/files/model_folder.h"
#include "policy/files/save_model_folder.h"

namespace tandem {
namespace {

absl::Status Resave(const std::string& source, const std::string& destination, SaveModelOptions options) {
  TANDEM_ASSIGN_OR_RETURN(const ModelFolder folder, LoadModelFolder(source));
  std::vector<float> flat(static_cast<size_t>(ParameterCount(folder.shape())));
  TANDEM_RETURN_IF_ERROR(ReadWeights(folder, flat));
  if (options.source.empty()) options.ends = folder.config.ends;
  return SaveModelFolder(destination, folder.shape(), flat, options);
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  if (argc != 6 || !tandem::DtypeNamed(argv[3])) {
    std::fprintf(stderr, "usage: %s SOURCE DESTINATION F32|BF16|F16 MOST_SHARD_BYTES same|fresh\n", argv[0]);
    return 2;
  }
  const bool same = std::string_view(argv[5]) == "same";
  const absl::Status status = tandem::Resave(
      argv[1], argv[2],
      {.dtype = *tandem::DtypeNamed(argv[3]), .source = same ? argv[1] : "", .most_shard_bytes = std::atoll(argv[4])});
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return 1;
}
