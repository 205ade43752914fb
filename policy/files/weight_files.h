// The weights of a model folder: one safetensors file, or several with an index.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/files/safetensors.h"

namespace tandem {

inline constexpr char kWeightsFile[] = "model.safetensors";

// All tensors by name. Headers and index were checked, and agree; the tensors' bytes were not touched.
class WeightFiles {
 public:
  // Where a tensor is. Both live as long as the WeightFiles, moved or not.
  struct Place {
    const SafetensorsFile* file;
    const TensorView* tensor;
  };

  // model.safetensors where it is there, otherwise model.safetensors.index.json and the files that it names. kNotFound:
  // neither, or a file of the index is missing. kInvalidArgument, naming file and tensor: a tensor that is in two
  // files, in another than the index says, in none, or not in the index. Else the errors of SafetensorsFile::Open and
  // ParseShardIndex.
  static absl::StatusOr<WeightFiles> Open(const std::string& folder);

  const std::map<std::string, Place, std::less<>>& tensors() const { return places_; }
  const Place* Find(std::string_view name) const;    // null: there is none
  const std::string& path() const { return path_; }  // of the file, or of the index: for errors about what is missing
  const std::vector<SafetensorsFile>& files() const { return files_; }

 private:
  absl::Status AddFile(const std::string& path);
  absl::Status OpenShards(const std::string& folder);

  std::string path_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place, std::less<>> places_;
};

}  // namespace tandem
