// What a policy is before it has learned anything: its shape, its language and, where it starts from a model that
// exists, that model.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "policy/files/model_folder.h"
#include "policy/language.h"
#include "policy/model_config.h"

namespace tandem {

struct PolicySource {
  ModelConfig shape;
  std::unique_ptr<const Language> language;
  std::optional<ModelFolder> folder;  // none: weights are drawn at random
  // What stands beside the weights of a model that came from it, by file name, so that Hugging Face's libraries load
  // it: config.json and the tokenizer's files.
  std::map<std::string, std::string> companions;
};

// `init`: a model folder, or "": a model of `shape` (whose vocabulary does not count) over the characters of
// `alphabet`. `system`: the system prompt of a folder with a chat template. Errors name the file, or "alphabet".
absl::StatusOr<PolicySource> OpenPolicySource(const std::string& init, const ModelConfig& shape,
                                              std::string_view alphabet, const std::string& system);

}  // namespace tandem
