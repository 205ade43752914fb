#include "policy/files/shard_index.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/files/json_fields.h"
#include "policy/files/strict_json.h"

namespace tandem {
namespace {

bool IsPlainFileName(std::string_view name) {
  return name.ends_with(".safetensors") && name.find_first_of("/\\") == name.npos && name[0] != '.' &&
         name.find('\0') == name.npos && name.size() <= 255;
}

}  // namespace

std::vector<std::string> ShardIndex::Files() const {
  std::set<std::string> files;
  for (const auto& [tensor, file] : file_of) files.insert(file);
  return {files.begin(), files.end()};
}

absl::StatusOr<ShardIndex> ParseShardIndex(const std::string& path, std::string_view text) {
  TANDEM_ASSIGN_OR_RETURN(const nlohmann::json json, ParseStrictJson(path, text));
  const JsonFields fields(path, json);
  if (fields.Has("metadata")) {
    TANDEM_ASSIGN_OR_RETURN(const JsonFields metadata, fields.Object("metadata"));
    TANDEM_RETURN_IF_ERROR(metadata.Number("total_size", 0, 0, 1e18).status());
  }
  const nlohmann::json& map = fields.At("weight_map");
  if (!map.is_object()) return fields.Bad("weight_map", "a map from tensors to files");
  ShardIndex index;
  for (const auto& [tensor, file] : map.items()) {
    if (!file.is_string() || !IsPlainFileName(file.get_ref<const std::string&>())) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": weight_map: tensor ", QuoteName(tensor), " is in ",
                                                     QuoteJson(file),
                                                     "; expected the name of a .safetensors file beside the index"));
    }
    index.file_of.emplace(tensor, file.get<std::string>());
  }
  return index;
}

std::string ShardIndexText(const ShardIndex& index, int64_t total_size, int64_t parameters) {
  const nlohmann::json json = {{"metadata", {{"total_parameters", parameters}, {"total_size", total_size}}},
                               {"weight_map", index.file_of}};
  return json.dump(2) + "\n";
}

std::string ShardName(size_t shard, size_t shards) {
  char name[80];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard, shards);
  return name;
}

ShardPlan PlanShards(const std::vector<int64_t>& tensor_bytes, int64_t most) {
  ShardPlan plan{{}, 0};
  int64_t filled = 0;
  bool open = false;
  size_t current = 0;
  for (const int64_t bytes : tensor_bytes) {
    if (bytes > most) {  // alone, and the open shard goes on after it
      plan.shard_of.push_back(plan.shards++);
      continue;
    }
    if (!open || filled + bytes > most) {
      current = plan.shards++;
      filled = 0;
      open = true;
    }
    filled += bytes;
    plan.shard_of.push_back(current);
  }
  return plan;
}

}  // namespace tandem
