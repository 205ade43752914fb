// Files of named tensors in the safetensors format: read through a memory map, written piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/files/mapped_file.h"
#include "policy/files/safetensors_header.h"

namespace tandem {

// One tensor of an open file. `bytes` points into the file's map and may have any alignment.
struct TensorView {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};

// A file that is open and whose header was checked; the tensors' bytes were not touched yet. Const methods are safe to
// call from several threads.
class SafetensorsFile {
 public:
  // Errors: those of MappedFile::Open and ParseSafetensorsHeader.
  static absl::StatusOr<SafetensorsFile> Open(const std::string& path);

  const std::string& path() const { return map_.path(); }
  const FileMetadata& metadata() const { return metadata_; }
  const std::vector<TensorView>& tensors() const { return tensors_; }  // in the order of their bytes

  // Valid as long as the file, moved or not. kInvalidArgument names file and tensor when it is missing or of another
  // shape.
  absl::StatusOr<const TensorView*> Find(std::string_view name, const std::vector<int64_t>& shape) const;
  // kInvalidArgument names the file and a tensor of it that has another shape.
  absl::Status CheckShape(const TensorView& tensor, const std::vector<int64_t>& shape) const;

  // Copies bytes offset ... offset + out.size() of a tensor of this file, which has them. kDataLoss: the file was cut
  // short since it was opened.
  absl::Status ReadBytes(const TensorView& tensor, uint64_t offset, std::span<std::byte> out) const;

 private:
  explicit SafetensorsFile(MappedFile map) : map_(std::move(map)) {}
  MappedFile map_;
  FileMetadata metadata_;
  std::vector<TensorView> tensors_;
};

// One tensor to write. `values` belongs to the caller.
struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::span<const float> values;  // as many as the shape says
};

// Writes the file aside, syncs and renames it. The tensors follow each other in the given order, without gaps, rounded
// to `dtype`. A finite value that float16 has no room for is kInvalidArgument, naming the tensor.
absl::Status WriteSafetensors(const std::string& path, const FileMetadata& metadata,
                              const std::vector<NamedTensor>& tensors, Dtype dtype = Dtype::kF32);

}  // namespace tandem
