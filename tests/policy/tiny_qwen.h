// A model folder like those that people download: the shape of Qwen2.5, small and with random weights, with a
// byte-level tokenizer (the goldens', of 1,122 tokens) and Qwen2.5's chat template.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/random.h"
#include "base/status.h"
#include "policy/files/save_model_folder.h"

namespace tandem {

inline ModelConfig TinyQwenShape() {
  return {.vocabulary = 1152,  // padded beyond the tokenizer's, as Qwen's is
          .hidden = 64,
          .layers = 2,
          .heads = 4,
          .kv_heads = 2,
          .intermediate = 128,
          .context = 512,
          .rope_theta = 1e6,
          .norm_epsilon = 1e-6,
          .tied_head = true,
          .qkv_bias = true};
}

// Standard deviation 0.02, norms 1, biases 0: as transformers starts a model.
inline std::vector<float> UntrainedWeights(const ModelConfig& shape, uint64_t seed) {
  RandomStream random(seed);
  std::vector<float> weights(static_cast<size_t>(ParameterCount(shape)));
  for (const Parameter& parameter : ParameterLayout(shape)) {
    const bool norm = parameter.name.find("norm") != std::string::npos;
    const bool bias = parameter.name.ends_with(".bias");
    for (int64_t i = 0; i < parameter.size(); ++i) {
      float& weight = weights[static_cast<size_t>(parameter.offset + i)];
      weight = norm ? 1 : bias ? 0 : 0.0693f * static_cast<float>(random.Uniform() - 0.5);
    }
  }
  return weights;
}

// Reads files of tests/, so it runs in the repository's root.
inline absl::Status WriteTinyQwen(const std::string& path, uint64_t seed) {
  TANDEM_ASSIGN_OR_RETURN(const std::string chat, ReadFile("tests/parity/templates/qwen2_5.jinja"));
  TANDEM_ASSIGN_OR_RETURN(const std::string tokenizer, ReadFile("tests/policy/tokenizer/goldens/qwen2/tokenizer.json"));
  const nlohmann::json tokenizer_config = {
      {"tokenizer_class", "Qwen2Tokenizer"}, {"eos_token", "<|im_end|>"}, {"chat_template", chat}};
  const nlohmann::json generation = {{"eos_token_id", {1102, 1100}}, {"bos_token_id", 1100}};
  TANDEM_RETURN_IF_ERROR(SaveModelFolder(path, TinyQwenShape(), UntrainedWeights(TinyQwenShape(), seed),
                                         {.dtype = Dtype::kBF16, .ends = EndTokens{{1102}, 1100}}));
  TANDEM_RETURN_IF_ERROR(WriteFileAtomically(path + "/tokenizer.json", tokenizer));
  TANDEM_RETURN_IF_ERROR(WriteFileAtomically(path + "/tokenizer_config.json", tokenizer_config.dump(1)));
  return WriteFileAtomically(path + "/generation_config.json", generation.dump(1));
}

}  // namespace tandem
