#include "policy/files/weight_files.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/files/mapped_file.h"
#include "policy/files/shard_index.h"
#include "policy/files/strict_json.h"

namespace tandem {
namespace {

absl::Status BadPlace(const std::string& path, const std::string& tensor, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": tensor ", QuoteName(tensor), ": ", what));
}

absl::Status NoWeights(const std::string& folder) {
  const bool pickled = std::filesystem::exists(folder + "/pytorch_model.bin") ||
                       std::filesystem::exists(folder + "/pytorch_model.bin.index.json");
  return absl::NotFoundError(
      absl::StrCat(folder, ": has neither ", kWeightsFile, " nor ", kShardIndexFile,
                   pickled ? "; pytorch_model.bin is not read: save the model with safe_serialization=True" : ""));
}

}  // namespace

absl::StatusOr<WeightFiles> WeightFiles::Open(const std::string& folder) {
  WeightFiles weights;
  weights.path_ = absl::StrCat(folder, "/", kWeightsFile);
  std::error_code error;
  if (std::filesystem::exists(weights.path_, error)) {
    weights.files_.reserve(1);
    TANDEM_RETURN_IF_ERROR(weights.AddFile(weights.path_));
    return weights;
  }
  weights.path_ = absl::StrCat(folder, "/", kShardIndexFile);
  if (!std::filesystem::exists(weights.path_, error)) return NoWeights(folder);
  TANDEM_RETURN_IF_ERROR(weights.OpenShards(folder));
  return weights;
}

absl::Status WeightFiles::AddFile(const std::string& path) {
  TANDEM_CHECK(files_.size() < files_.capacity());  // places_ points into them
  TANDEM_ASSIGN_OR_RETURN(SafetensorsFile opened, SafetensorsFile::Open(path));
  const SafetensorsFile& file = files_.emplace_back(std::move(opened));
  for (const TensorView& tensor : file.tensors()) {
    const auto [place, added] = places_.emplace(tensor.name, Place{&file, &tensor});
    if (!added) return BadPlace(path, tensor.name, absl::StrCat("is in ", place->second.file->path(), " too"));
  }
  return absl::OkStatus();
}

absl::Status WeightFiles::OpenShards(const std::string& folder) {
  TANDEM_ASSIGN_OR_RETURN(const MappedFile text, MappedFile::Open(path_));
  TANDEM_ASSIGN_OR_RETURN(const ShardIndex index, ParseShardIndex(path_, text.text()));
  const std::vector<std::string> shards = index.Files();
  files_.reserve(shards.size());
  for (const std::string& shard : shards) {
    TANDEM_RETURN_IF_ERROR(Annotate(AddFile(absl::StrCat(folder, "/", shard)), path_));
  }
  for (const auto& [name, place] : places_) {
    const auto listed = index.file_of.find(name);
    if (listed == index.file_of.end()) {
      return BadPlace(place.file->path(), name, absl::StrCat("is not in ", kShardIndexFile));
    }
    if (place.file->path() != absl::StrCat(folder, "/", listed->second)) {
      return BadPlace(place.file->path(), name,
                      absl::StrCat("is here, but ", kShardIndexFile, " says it is in ", listed->second));
    }
  }
  for (const auto& [name, file] : index.file_of) {
    if (Find(name) == nullptr) return BadPlace(absl::StrCat(folder, "/", file), name, "is missing; the index names it");
  }
  return absl::OkStatus();
}

const WeightFiles::Place* WeightFiles::Find(std::string_view name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? nullptr : &found->second;
}

}  // namespace tandem
