#include "policy/files/save_model_folder.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "policy/files/mapped_file.h"
#include "policy/files/model_folder.h"
#include "policy/files/replace_folder.h"
#include "policy/files/safetensors.h"
#include "policy/files/shard_index.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

// What SaveModelFolder writes.
bool IsOurs(const std::string& name) {
  for (const std::string& copied : CopiedFiles()) {
    if (name == copied) return true;
  }
  return name == "config.json" || name == kWeightsFile || name == kShardIndexFile ||
         (name.starts_with("model-") && name.ends_with(".safetensors"));
}

absl::Status CheckMayReplace(const std::string& path) {
  std::error_code error;
  const auto refuse = [&](const std::string& why) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": ", why, "; expected a new or empty folder, or a model's with nothing else in it"));
  };
  if (!fs::exists(path, error)) return absl::OkStatus();
  if (!fs::is_directory(fs::symlink_status(path, error))) return refuse("is not a folder");
  if (fs::is_empty(path, error)) return absl::OkStatus();
  if (!fs::exists(path + "/config.json", error)) return refuse("has no config.json");
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename().string();
    if (!IsOurs(name) || entry.is_directory(error)) return refuse(absl::StrCat(name, " would be lost"));
  }
  return error ? refuse(error.message()) : absl::OkStatus();
}

// The source's config.json, if it has one.
absl::StatusOr<std::optional<HfConfig>> ReadSource(const std::string& source) {
  const std::string path = source + "/config.json";
  std::error_code error;
  if (source.empty()) return std::nullopt;
  if (!fs::is_directory(source, error)) return absl::NotFoundError(absl::StrCat(source, ": is not a folder"));
  if (!fs::exists(path, error)) return std::nullopt;
  TANDEM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return ParseHfConfig(path, file.text());
}

absl::Status CopyFiles(const std::string& source, const std::string& folder) {
  for (const std::string& name : CopiedFiles()) {
    const std::string from = absl::StrCat(source, "/", name);
    std::error_code error;
    if (source.empty() || !fs::exists(from, error)) continue;
    TANDEM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(from));
    TANDEM_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder, "/", name), file.text()));
  }
  return absl::OkStatus();
}

absl::Status WriteWeights(const std::string& folder, const ModelConfig& shape, std::span<const float> flat,
                          const SaveModelOptions& options) {
  const std::vector<Parameter> layout = ParameterLayout(shape);
  std::vector<int64_t> bytes;
  for (const Parameter& parameter : layout) bytes.push_back(parameter.size() * DtypeBytes(options.dtype));
  const ShardPlan plan = PlanShards(bytes, options.most_shard_bytes);
  std::vector<std::vector<NamedTensor>> shards(plan.shards);
  ShardIndex index;
  int64_t total_size = 0;
  for (size_t i = 0; i < layout.size(); ++i) {
    const auto offset = static_cast<size_t>(layout[i].offset), size = static_cast<size_t>(layout[i].size());
    shards[plan.shard_of[i]].push_back({layout[i].name, layout[i].shape, flat.subspan(offset, size)});
    index.file_of[layout[i].name] = ShardName(plan.shard_of[i] + 1, plan.shards);
    total_size += bytes[i];
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shards.size() == 1 ? kWeightsFile : ShardName(i + 1, shards.size());
    TANDEM_RETURN_IF_ERROR(
        WriteSafetensors(absl::StrCat(folder, "/", name), {{"format", "pt"}}, shards[i], options.dtype));
  }
  if (shards.size() == 1) return absl::OkStatus();
  return WriteFileAtomically(absl::StrCat(folder, "/", kShardIndexFile),
                             ShardIndexText(index, total_size, static_cast<int64_t>(flat.size())));
}

}  // namespace

absl::Status SaveModelFolder(const std::string& path, const ModelConfig& shape, std::span<const float> flat,
                             const SaveModelOptions& options) {
  TANDEM_RETURN_IF_ERROR(CheckModelConfig(shape));
  TANDEM_CHECK(static_cast<int64_t>(flat.size()) == ParameterCount(shape));
  TANDEM_RETURN_IF_ERROR(CheckMayReplace(path));
  TANDEM_ASSIGN_OR_RETURN(const std::optional<HfConfig> source, ReadSource(options.source));
  const EndTokens ends = options.ends ? *options.ends : source ? source->ends : EndTokens{};
  TANDEM_ASSIGN_OR_RETURN(const std::string config,
                          HfConfigText(shape, options.dtype, ends, source ? &*source : nullptr));
  TANDEM_ASSIGN_OR_RETURN(PartialFolder partial, PartialFolder::Create(path));
  TANDEM_RETURN_IF_ERROR(WriteFileAtomically(partial.folder() + "/config.json", config));
  TANDEM_RETURN_IF_ERROR(CopyFiles(options.source, partial.folder()));
  TANDEM_RETURN_IF_ERROR(WriteWeights(partial.folder(), shape, flat, options));
  return partial.Commit();
}

}  // namespace tandem
