// model.safetensors.index.json: which file of a sharded model holds which tensor.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem {

inline constexpr char kShardIndexFile[] = "model.safetensors.index.json";

struct ShardIndex {
  std::map<std::string, std::string> file_of;  // by tensor: a plain name of a file in the index's folder
  std::vector<std::string> Files() const;      // each once, sorted
};

// Reads the text of the file `path`, which errors name. kDataLoss: no JSON object. kInvalidArgument: a weight_map that
// is not a map from names to plain file names (no folders, nothing hidden) that end in .safetensors; metadata whose
// total_size is no number. total_size is not compared with the files: many a model was cast after it was counted.
absl::StatusOr<ShardIndex> ParseShardIndex(const std::string& path, std::string_view text);

// As transformers writes it. total_size: bytes of all tensors; parameters: how many numbers they hold.
std::string ShardIndexText(const ShardIndex& index, int64_t total_size, int64_t parameters);

// "model-00002-of-00005.safetensors"; shards count from 1.
std::string ShardName(size_t shard, size_t shards);

// Which shard each tensor goes into, counted from 0, and in how many there are in all: tensors in their order, a new
// shard where one would grow beyond `most` bytes, and one to itself for a tensor that is larger, as huggingface_hub's
// split_torch_state_dict_into_shards does.
struct ShardPlan {
  std::vector<size_t> shard_of;
  size_t shards;
};
ShardPlan PlanShards(const std::vector<int64_t>& tensor_bytes, int64_t most);

}  // namespace tandem
