#include "policy/files/safetensors_header.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "policy/files/strict_json.h"

namespace tandem {
namespace {

static_assert(std::endian::native == std::endian::little);

using Json = nlohmann::json;
constexpr uint64_t kPrefix = 8, kMostHeader = 100'000'000;
constexpr uint64_t kMostExtent = uint64_t{1} << 40;

absl::Status BadTensor(const std::string& path, const std::string& name, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": tensor ", QuoteName(name), ": ", what));
}

// The range as the header gives it, from the header's end.
absl::StatusOr<TensorRange> ParseRange(const std::string& path, const std::string& name, const Json& entry) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets")) {
    return BadTensor(path, name, "expected dtype, shape and data_offsets");
  }
  const Json &type = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];
  const auto dtype = type.is_string() ? DtypeNamed(type.get_ref<const std::string&>()) : std::nullopt;
  if (!dtype) return BadTensor(path, name, absl::StrCat("dtype ", QuoteJson(type), "; expected F32, BF16 or F16"));
  TensorRange range{name, *dtype, {}, 0, 0};
  auto bytes = static_cast<uint64_t>(DtypeBytes(*dtype));
  if (!shape.is_array()) return BadTensor(path, name, "shape is not a list");
  for (const Json& extent : shape) {
    if (!extent.is_number_unsigned() || extent.get<uint64_t>() > kMostExtent) {
      return BadTensor(path, name, absl::StrCat("shape ", QuoteJson(shape), " is not a list of sizes"));
    }
    range.shape.push_back(static_cast<int64_t>(extent.get<uint64_t>()));
    if (__builtin_mul_overflow(bytes, extent.get<uint64_t>(), &bytes)) {
      return BadTensor(path, name, absl::StrCat("shape ", QuoteJson(shape), " is too large"));
    }
  }
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    return BadTensor(path, name, "data_offsets is not a pair of offsets");
  }
  range.begin = offsets[0].get<uint64_t>();
  range.end = offsets[1].get<uint64_t>();
  if (range.end < range.begin || range.end - range.begin != bytes) {
    return BadTensor(path, name,
                     absl::StrCat("data_offsets ", QuoteJson(offsets), " do not hold shape ", QuoteJson(shape), " of ",
                                  DtypeName(*dtype), ", which takes ", bytes, " bytes"));
  }
  return range;
}

// The tensors' bytes must follow each other without gap or overlap and end where the file ends.
absl::Status SortAndCheckRanges(const std::string& path, std::vector<TensorRange>& ranges, uint64_t data_size) {
  std::stable_sort(ranges.begin(), ranges.end(), [](const TensorRange& a, const TensorRange& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t end = 0;
  for (const TensorRange& range : ranges) {
    if (range.begin != end) {
      return BadTensor(path, range.name,
                       absl::StrCat("begins at byte ", range.begin, "; expected ", end,
                                    range.begin < end ? ": it overlaps the one before" : ": a gap"));
    }
    end = range.end;
    if (end > data_size) {
      return absl::DataLossError(absl::StrCat(path, ": tensor ", QuoteName(range.name), ": ends at byte ", end,
                                              " but the file has only ", data_size, ": it was cut short"));
    }
  }
  if (end != data_size) {
    return absl::DataLossError(absl::StrCat(path, ": ", data_size - end, " bytes after the last tensor"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> HeaderText(const std::string& path, std::span<const std::byte> file) {
  const auto lost = [&](const std::string& what) { return absl::DataLossError(absl::StrCat(path, ": ", what)); };
  if (file.size() < kPrefix) {
    return lost(absl::StrCat("has ", file.size(), " bytes: cut short, or not a safetensors file"));
  }
  uint64_t size = 0;
  std::memcpy(&size, file.data(), kPrefix);
  if (size > file.size() - kPrefix) {
    return lost(absl::StrCat("its header should have ", size, " bytes but only ", file.size() - kPrefix,
                             " follow: cut short, or not a safetensors file"));
  }
  if (size > kMostHeader) {
    return lost(absl::StrCat("its header should have ", size, " bytes; at most ", kMostHeader, " are allowed"));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kPrefix, size);
  if (text.empty() || text[0] != '{') return lost("its header is not a JSON object");
  return text;
}

absl::StatusOr<FileMetadata> ParseMetadata(const std::string& path, const Json& entry) {
  FileMetadata metadata;
  if (!entry.is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": __metadata__ is not an object"));
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": __metadata__: ", QuoteName(key), " is not text"));
    }
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

}  // namespace

std::string ShapeText(const std::vector<int64_t>& shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(const std::string& path, std::span<const std::byte> file) {
  TANDEM_ASSIGN_OR_RETURN(const std::string_view text, HeaderText(path, file));
  TANDEM_ASSIGN_OR_RETURN(const Json json, ParseStrictJson(absl::StrCat(path, ": its header"), text));
  SafetensorsHeader header;
  for (const auto& [name, entry] : json.items()) {
    if (name == "__metadata__") {
      TANDEM_ASSIGN_OR_RETURN(header.metadata, ParseMetadata(path, entry));
    } else {
      TANDEM_ASSIGN_OR_RETURN(TensorRange range, ParseRange(path, name, entry));
      header.tensors.push_back(std::move(range));
    }
  }
  const uint64_t data = kPrefix + text.size();
  TANDEM_RETURN_IF_ERROR(SortAndCheckRanges(path, header.tensors, file.size() - data));
  for (TensorRange& tensor : header.tensors) {
    tensor.begin += data;
    tensor.end += data;
  }
  return header;
}

std::string SafetensorsHeaderBytes(const FileMetadata& metadata, std::span<const TensorRange> tensors) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorRange& tensor : tensors) {
    TANDEM_CHECK(!header.contains(tensor.name));
    auto end = static_cast<uint64_t>(DtypeBytes(tensor.dtype));
    for (const int64_t extent : tensor.shape) end *= static_cast<uint64_t>(extent);
    end += offset;
    header[tensor.name] = {
        {"dtype", DtypeName(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  // Bytes that are not UTF-8 (in a path within the metadata, say) are replaced rather than thrown at.
  std::string text = header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.append((kPrefix - text.size() % kPrefix) % kPrefix, ' ');
  const uint64_t size = text.size();
  return std::string(reinterpret_cast<const char*>(&size), kPrefix) + text;
}

}  // namespace tandem
