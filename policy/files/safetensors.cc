#include "policy/files/safetensors.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/files/convert.h"
#include "policy/files/output_file.h"
#include "policy/files/strict_json.h"

namespace tandem {
namespace {

// From here on a float32 rounds to infinity in float16.
constexpr float kBeyondF16 = 65520;

absl::Status CheckFitsF16(const std::string& path, const NamedTensor& tensor) {
  for (const float value : tensor.values) {
    if (std::abs(value) >= kBeyondF16 && std::isfinite(value)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": tensor ", QuoteName(tensor.name), ": ", value,
                                                     " does not fit into F16; expected a dtype of BF16 or F32"));
    }
  }
  return absl::OkStatus();
}

absl::Status AppendAs(Dtype dtype, std::span<const float> values, OutputFile& file) {
  if (dtype == Dtype::kF32) return file.Append(std::as_bytes(values));
  constexpr size_t kPiece = size_t{1} << 18;  // what is converted is written while it is in the cache
  std::vector<uint16_t> buffer(std::min(kPiece, values.size()));
  for (; !values.empty(); values = values.subspan(std::min(kPiece, values.size()))) {
    const size_t count = std::min(kPiece, values.size());
    FromFloat32(values.data(), static_cast<int64_t>(count), dtype, buffer.data());
    TANDEM_RETURN_IF_ERROR(file.Append(std::as_bytes(std::span(buffer).first(count))));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SafetensorsFile> SafetensorsFile::Open(const std::string& path) {
  TANDEM_ASSIGN_OR_RETURN(MappedFile map, MappedFile::Open(path));
  SafetensorsFile file(std::move(map));
  TANDEM_ASSIGN_OR_RETURN(SafetensorsHeader header, ParseSafetensorsHeader(path, file.map_.bytes()));
  file.metadata_ = std::move(header.metadata);
  file.tensors_.reserve(header.tensors.size());
  for (TensorRange& range : header.tensors) {
    const auto bytes = file.map_.bytes().subspan(range.begin, range.end - range.begin);
    file.tensors_.push_back({std::move(range.name), range.dtype, std::move(range.shape), bytes});
  }
  return file;
}

absl::StatusOr<const TensorView*> SafetensorsFile::Find(std::string_view name,
                                                        const std::vector<int64_t>& shape) const {
  const auto found =
      std::find_if(tensors_.begin(), tensors_.end(), [&](const TensorView& t) { return t.name == name; });
  if (found == tensors_.end()) {
    return absl::InvalidArgumentError(absl::StrCat(path(), ": tensor ", QuoteName(name), ": is missing"));
  }
  TANDEM_RETURN_IF_ERROR(CheckShape(*found, shape));
  return &*found;
}

absl::Status SafetensorsFile::CheckShape(const TensorView& tensor, const std::vector<int64_t>& shape) const {
  if (tensor.shape == shape) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path(), ": tensor ", QuoteName(tensor.name), ": has shape ",
                                                 ShapeText(tensor.shape), "; expected ", ShapeText(shape)));
}

absl::Status SafetensorsFile::ReadBytes(const TensorView& tensor, uint64_t offset, std::span<std::byte> out) const {
  TANDEM_CHECK(offset <= tensor.bytes.size() && out.size() <= tensor.bytes.size() - offset);
  if (out.empty()) return absl::OkStatus();
  return map_.ReadAt(static_cast<uint64_t>(tensor.bytes.data() - map_.bytes().data()) + offset, out);
}

absl::Status WriteSafetensors(const std::string& path, const FileMetadata& metadata,
                              const std::vector<NamedTensor>& tensors, Dtype dtype) {
  std::vector<TensorRange> ranges;
  for (const NamedTensor& tensor : tensors) {
    int64_t size = 1;
    for (const int64_t extent : tensor.shape) size *= extent;
    TANDEM_CHECK(static_cast<int64_t>(tensor.values.size()) == size);
    if (dtype == Dtype::kF16) TANDEM_RETURN_IF_ERROR(CheckFitsF16(path, tensor));
    ranges.push_back({tensor.name, dtype, tensor.shape, 0, 0});
  }
  TANDEM_ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(path));
  TANDEM_RETURN_IF_ERROR(file.Append(SafetensorsHeaderBytes(metadata, ranges)));
  for (const NamedTensor& tensor : tensors) TANDEM_RETURN_IF_ERROR(AppendAs(dtype, tensor.values, file));
  return file.Commit();
}

}  // namespace tandem
