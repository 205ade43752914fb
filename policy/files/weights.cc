#include "policy/files/weights.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/files/read_tensors.h"
#include "policy/files/strict_json.h"

namespace tandem {
namespace {

absl::StatusOr<const TensorView*> FindFloats(const SafetensorsFile& file, std::string_view name,
                                             const std::vector<int64_t>& shape) {
  TANDEM_ASSIGN_OR_RETURN(const TensorView* tensor, file.Find(name, shape));
  if (tensor->dtype == Dtype::kF32) return tensor;
  return absl::InvalidArgumentError(
      absl::StrCat(file.path(), ": tensor ", QuoteName(name), ": dtype ", DtypeName(tensor->dtype), "; expected F32"));
}

}  // namespace

absl::Status SaveWeights(const std::string& path, const ModelConfig& config, std::span<const float> flat,
                         FileMetadata metadata) {
  TANDEM_CHECK(static_cast<int64_t>(flat.size()) == ParameterCount(config));
  metadata["format"] = "pt";
  metadata["tandem_format"] = "1";
  std::vector<NamedTensor> tensors;
  for (const Parameter& parameter : ParameterLayout(config)) {
    const auto offset = static_cast<size_t>(parameter.offset), size = static_cast<size_t>(parameter.size());
    tensors.push_back({parameter.name, parameter.shape, flat.subspan(offset, size)});
  }
  return WriteSafetensors(path, metadata, tensors);
}

absl::StatusOr<FileMetadata> LoadWeights(const std::string& path, const ModelConfig& config, std::span<float> flat) {
  TANDEM_CHECK(static_cast<int64_t>(flat.size()) == ParameterCount(config));
  TANDEM_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Open(path));
  const std::vector<Parameter> layout = ParameterLayout(config);
  std::vector<TensorRead> reads;
  for (const Parameter& parameter : layout) {
    TANDEM_ASSIGN_OR_RETURN(const TensorView* tensor, FindFloats(file, parameter.name, parameter.shape));
    reads.push_back({&file, tensor, flat.data() + parameter.offset});
  }
  for (const TensorView& tensor : file.tensors()) {
    const auto named = [&](const Parameter& parameter) { return parameter.name == tensor.name; };
    if (std::none_of(layout.begin(), layout.end(), named)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": tensor ", QuoteName(tensor.name), ": is not of this model"));
    }
  }
  TANDEM_RETURN_IF_ERROR(ReadTensors(reads, ReadingThreads()));
  return file.metadata();
}

absl::StatusOr<std::vector<float>> ReadFloats(const SafetensorsFile& file, std::string_view name,
                                              const std::vector<int64_t>& shape) {
  TANDEM_ASSIGN_OR_RETURN(const TensorView* tensor, FindFloats(file, name, shape));
  std::vector<float> values(tensor->bytes.size() / sizeof(float));
  const TensorRead read = {&file, tensor, values.data()};
  TANDEM_RETURN_IF_ERROR(ReadTensors({&read, 1}, ReadingThreads()));
  return values;
}

}  // namespace tandem
