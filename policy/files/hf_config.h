// A model's config.json, as Hugging Face's transformers writes and reads it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/files/dtype.h"
#include "policy/files/hf_family.h"
#include "policy/model_config.h"

namespace tandem {

// The tokens that begin and end a text.
struct EndTokens {
  std::vector<int32_t> eos_ids;  // each of them ends it; may be empty
  std::optional<int32_t> bos_id;
  bool operator==(const EndTokens&) const = default;
};

struct HfConfig {
  HfFamily family;
  ModelConfig shape;  // head_dim is 0 where it is hidden / heads; context is max_position_embeddings
  EndTokens ends;
  std::string text;  // as it was read, with the fields that we do not know
};

// Reads the text of the file `path`, which errors name. Fields that are absent have the defaults of the family's class
// in transformers. kDataLoss: no JSON object (see ParseStrictJson). kInvalidArgument, naming the field, what it holds
// and what is supported: another model_type, architecture, hidden_act or rope type, sliding windows, quantized weights,
// values of another type, or beyond what a model could have (no product of sizes overflows).
absl::StatusOr<HfConfig> ParseHfConfig(const std::string& path, std::string_view text);

// config.json for a shape with weights of `dtype`, in a form that transformers 4 and 5 read alike. `like`, or null: a
// configuration whose family, and fields that we do not know, are kept where that family can express the shape.
// kInvalidArgument: a shape that no family can express, or tokens beyond its vocabulary.
absl::StatusOr<std::string> HfConfigText(const ModelConfig& shape, Dtype dtype, const EndTokens& ends,
                                         const HfConfig* like);

}  // namespace tandem
