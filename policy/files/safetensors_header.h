// The header of a safetensors file (github.com/huggingface/safetensors): 8 bytes of its size, little endian, then JSON:
// of each tensor its type, shape and place, and a map of texts. The tensors' bytes follow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/files/dtype.h"

namespace tandem {

using FileMetadata = std::map<std::string, std::string>;

// Where a tensor lies: bytes begin ... end of the file, which hold exactly its shape. They may have any alignment.
struct TensorRange {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  uint64_t begin, end;
};

struct SafetensorsHeader {
  FileMetadata metadata;
  std::vector<TensorRange> tensors;  // in the order of their bytes
};

// Reads the header of a file that is all in `file`, and touches none of the tensors' bytes. What it returns can be
// trusted: every range lies within the file, no two overlap, nothing lies between, and no name comes twice. kDataLoss:
// cut short, or not of this format (a header of more than 100 MB, as in the reference implementation, included).
// kInvalidArgument: a type that we do not read, ranges that do not fit. Errors name `path` and the tensor.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(const std::string& path, std::span<const std::byte> file);

// The 8 bytes and the header for tensors that follow each other without gaps in the given order; begin and end of each
// are ignored. Padded with spaces so that the tensors' bytes begin at a multiple of 8.
std::string SafetensorsHeaderBytes(const FileMetadata& metadata, std::span<const TensorRange> tensors);

// "[2, 3]"
std::string ShapeText(const std::vector<int64_t>& shape);

}  // namespace tandem
