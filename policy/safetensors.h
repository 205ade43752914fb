// Files of named float32 tensors in the safetensors format (github.com/huggingface/safetensors): 8 bytes of header
// size, a JSON header, then the tensors' bytes, little endian.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/model_config.h"

namespace tandem {

using FileMetadata = std::map<std::string, std::string>;

// One tensor of a file. `values` belongs to whoever made it: to the caller when writing, to the SafetensorsFile when
// read.
struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::span<const float> values;  // as many as the shape says
};

// Writes the file aside and renames it. The tensors follow each other in the given order, without gaps.
absl::Status WriteSafetensors(const std::string& path, const FileMetadata& metadata,
                              const std::vector<NamedTensor>& tensors);

// A file that was read and checked.
class SafetensorsFile {
 public:
  // kDataLoss: cut short, or not of this format. kInvalidArgument: another type than F32, ranges that overlap, leave
  // gaps or do not fit the shape. Every error names file and tensor.
  static absl::StatusOr<SafetensorsFile> Read(const std::string& path);

  // Moves only: tensors() points into the file's own memory.
  SafetensorsFile(SafetensorsFile&&) = default;
  SafetensorsFile& operator=(SafetensorsFile&&) = default;

  const FileMetadata& metadata() const { return metadata_; }
  const std::vector<NamedTensor>& tensors() const { return tensors_; }  // in the order of their bytes

  // kInvalidArgument names the file when the tensor is missing or of another shape.
  absl::StatusOr<std::span<const float>> Find(const std::string& name, const std::vector<int64_t>& shape) const;

 private:
  SafetensorsFile() = default;
  std::string path_;
  FileMetadata metadata_;
  std::vector<NamedTensor> tensors_;
  std::vector<float> values_;
};

// A model's flat weights (ParameterLayout's order) under their Hugging Face names. The metadata gets "format": "pt",
// which Hugging Face's loader asks for, and "tandem_format": "1".
absl::Status SaveWeights(const std::string& path, const ModelConfig& config, std::span<const float> flat,
                         FileMetadata metadata);

// Fills `flat` (of ParameterCount(config) floats) and returns the metadata. A tensor that is missing, of another shape,
// or not the model's is kInvalidArgument; `flat` is then left as it was.
absl::StatusOr<FileMetadata> LoadWeights(const std::string& path, const ModelConfig& config, std::span<float> flat);

}  // namespace tandem
