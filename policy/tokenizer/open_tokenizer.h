// The tokenizer of a model's folder.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "policy/tokenizer/tokenizer.h"

namespace tandem {

// Of `folder`/tokenizer.json; that a BPE's turns end with eos_token is said in `folder`/tokenizer_config.json.
// kNotFound, kPermissionDenied: a file is missing. kInvalidArgument: see BpeTokenizer and CharacterTokenizer. Every
// error names the file.
absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizer(const std::string& folder);

// The text of a token that a tokenizer_config.json names, for example "eos_token": {"content": "<|im_end|>", ...} or
// just "<|im_end|>". Empty when it is null or not there.
absl::StatusOr<std::string> ConfiguredToken(const std::string& config_path, std::string_view name);

}  // namespace tandem
