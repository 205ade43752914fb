#include "policy/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "base/status.h"

namespace tandem {
namespace {

static_assert(std::endian::native == std::endian::little);

using Json = nlohmann::json;
constexpr uint64_t kPrefix = 8;

// What a header says of one tensor. Offsets are bytes from the end of the header.
struct Range {
  std::string name;
  std::vector<int64_t> shape;
  uint64_t begin, end;
};

std::string Shape(const std::vector<int64_t>& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

absl::Status Bad(const std::string& path, const std::string& name, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": tensor '", name, "': ", what));
}

absl::StatusOr<Range> ParseRange(const std::string& path, const std::string& name, const Json& entry) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets")) {
    return Bad(path, name, "expected dtype, shape and data_offsets");
  }
  if (entry["dtype"] != "F32") return Bad(path, name, absl::StrCat("dtype ", entry["dtype"].dump(), "; expected F32"));
  Range range{name, {}, 0, 0};
  uint64_t bytes = sizeof(float);
  if (!entry["shape"].is_array()) return Bad(path, name, "shape is not a list");
  for (const Json& extent : entry["shape"]) {
    if (!extent.is_number_unsigned() || extent.get<uint64_t>() > (uint64_t{1} << 40)) {
      return Bad(path, name, absl::StrCat("shape ", entry["shape"].dump(), " is not a list of sizes"));
    }
    range.shape.push_back(static_cast<int64_t>(extent.get<uint64_t>()));
    if (__builtin_mul_overflow(bytes, extent.get<uint64_t>(), &bytes)) {
      return Bad(path, name, absl::StrCat("shape ", entry["shape"].dump(), " is too large"));
    }
  }
  const Json& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    return Bad(path, name, "data_offsets is not a pair of offsets");
  }
  range.begin = offsets[0].get<uint64_t>();
  range.end = offsets[1].get<uint64_t>();
  if (range.end < range.begin || range.end - range.begin != bytes) {
    return Bad(path, name,
               absl::StrCat("data_offsets ", offsets.dump(), " do not hold shape ", Shape(range.shape),
                            ", which takes ", bytes, " bytes"));
  }
  return range;
}

// The tensors' bytes must follow each other without gap or overlap and end where the file ends.
absl::Status CheckRanges(const std::string& path, std::vector<Range>& ranges, uint64_t data_size) {
  std::stable_sort(ranges.begin(), ranges.end(),
                   [](const Range& a, const Range& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  uint64_t end = 0;
  for (const Range& range : ranges) {
    if (range.begin != end) {
      return Bad(path, range.name,
                 absl::StrCat("begins at byte ", range.begin, "; expected ", end,
                              range.begin < end ? ": it overlaps the one before" : ": a gap"));
    }
    end = range.end;
    if (end > data_size) {
      return absl::DataLossError(absl::StrCat(path, ": tensor '", range.name, "': ends at byte ", end,
                                              " but the file has only ", data_size, ": it was cut short"));
    }
  }
  if (end != data_size) {
    return absl::DataLossError(absl::StrCat(path, ": ", data_size - end, " bytes after the last tensor"));
  }
  return absl::OkStatus();
}

// The header as JSON, and its size.
absl::StatusOr<Json> ParseHeader(const std::string& path, const std::string& bytes, uint64_t& header_size) {
  if (bytes.size() < kPrefix) {
    return absl::DataLossError(
        absl::StrCat(path, ": has ", bytes.size(), " bytes: cut short, or not a safetensors file"));
  }
  std::memcpy(&header_size, bytes.data(), kPrefix);
  if (header_size > bytes.size() - kPrefix) {
    return absl::DataLossError(absl::StrCat(path, ": its header should have ", header_size, " bytes but only ",
                                            bytes.size() - kPrefix, " follow: cut short, or not a safetensors file"));
  }
  const auto begin = bytes.begin() + kPrefix;
  Json header = Json::parse(begin, begin + static_cast<int64_t>(header_size), nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) return absl::DataLossError(absl::StrCat(path, ": its header is not a JSON object"));
  return header;
}

absl::StatusOr<FileMetadata> ParseMetadata(const std::string& path, const Json& entry) {
  FileMetadata metadata;
  if (!entry.is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": __metadata__ is not an object"));
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": __metadata__: '", key, "' is not text"));
    }
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

}  // namespace

absl::Status WriteSafetensors(const std::string& path, const FileMetadata& metadata,
                              const std::vector<NamedTensor>& tensors) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const NamedTensor& tensor : tensors) {
    TANDEM_CHECK(!header.contains(tensor.name));
    TANDEM_CHECK(static_cast<int64_t>(tensor.values.size()) == (Parameter{"", tensor.shape, 0}.size()));
    const uint64_t end = offset + tensor.values.size_bytes();
    header[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  // Bytes that are not UTF-8 (in a path within the metadata, say) are replaced rather than thrown at.
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((kPrefix - text.size() % kPrefix) % kPrefix, ' ');  // so that the tensors are aligned
  const uint64_t header_size = text.size();
  std::string bytes(reinterpret_cast<const char*>(&header_size), kPrefix);
  bytes.reserve(kPrefix + header_size + offset);
  bytes += text;
  for (const NamedTensor& tensor : tensors) {
    bytes.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size_bytes());
  }
  return WriteFileAtomically(path, bytes);
}

absl::StatusOr<SafetensorsFile> SafetensorsFile::Read(const std::string& path) {
  TANDEM_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  uint64_t header_size = 0;
  TANDEM_ASSIGN_OR_RETURN(const Json header, ParseHeader(path, bytes, header_size));
  SafetensorsFile file;
  file.path_ = path;
  std::vector<Range> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      TANDEM_ASSIGN_OR_RETURN(file.metadata_, ParseMetadata(path, entry));
    } else {
      TANDEM_ASSIGN_OR_RETURN(Range range, ParseRange(path, name, entry));
      ranges.push_back(std::move(range));
    }
  }
  const uint64_t data_size = bytes.size() - kPrefix - header_size;
  TANDEM_RETURN_IF_ERROR(CheckRanges(path, ranges, data_size));
  file.values_.resize(data_size / sizeof(float));
  if (data_size > 0) std::memcpy(file.values_.data(), bytes.data() + kPrefix + header_size, data_size);
  for (Range& range : ranges) {
    const std::span<const float> values(file.values_.data() + range.begin / sizeof(float),
                                        (range.end - range.begin) / sizeof(float));
    file.tensors_.push_back({std::move(range.name), std::move(range.shape), values});
  }
  return file;
}

absl::StatusOr<std::span<const float>> SafetensorsFile::Find(const std::string& name,
                                                             const std::vector<int64_t>& shape) const {
  for (const NamedTensor& tensor : tensors_) {
    if (tensor.name != name) continue;
    if (tensor.shape == shape) return tensor.values;
    return Bad(path_, name, absl::StrCat("has shape ", Shape(tensor.shape), "; expected ", Shape(shape)));
  }
  return Bad(path_, name, "is missing");
}

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
  TANDEM_ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Read(path));
  const std::vector<Parameter> layout = ParameterLayout(config);
  std::vector<std::span<const float>> found;
  for (const Parameter& parameter : layout) {
    TANDEM_ASSIGN_OR_RETURN(const auto values, file.Find(parameter.name, parameter.shape));
    found.push_back(values);
  }
  for (const NamedTensor& tensor : file.tensors()) {
    const auto named = [&](const Parameter& parameter) { return parameter.name == tensor.name; };
    if (std::none_of(layout.begin(), layout.end(), named)) return Bad(path, tensor.name, "is not of this model");
  }
  for (size_t i = 0; i < layout.size(); ++i) {
    std::copy(found[i].begin(), found[i].end(), flat.begin() + layout[i].offset);
  }
  return file.metadata();
}

}  // namespace tandem
