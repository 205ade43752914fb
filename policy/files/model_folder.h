// A folder with a model in Hugging Face's layout: config.json, generation_config.json, weights in safetensors files,
// and the files of a tokenizer.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/files/generation_config.h"
#include "policy/files/hf_config.h"
#include "policy/files/weight_files.h"
#include "policy/model_config.h"

namespace tandem {

struct ModelFolder {
  std::string path;
  HfConfig config;
  std::optional<GenerationConfig> generation;          // where the folder has one
  WeightFiles weights;                                 // hold all parameters of config.shape, in its shapes
  std::map<std::string, std::string> tokenizer_files;  // name -> path, of CopiedFiles() those that are there

  const ModelConfig& shape() const { return config.shape; }
  // The tokens that end a text: generation_config.json's where it names any, otherwise config.json's.
  const std::vector<int32_t>& eos_ids() const;
};

// What is kept of a folder when a model that came from it is saved, beside config.json: tokenizer and generation files.
const std::vector<std::string>& CopiedFiles();

// Reads everything but the weights' bytes, and checks it: config.json against the tensors that the files hold, so that
// memory for ParameterCount(shape()) floats may be asked for. A tied model may carry lm_head.weight too; buffers
// named rotary_emb.inv_freq are ignored. kNotFound: a folder or file that is not there. kInvalidArgument, naming file
// and tensor: one that is missing, of another shape, or not the model's. Else see ParseHfConfig, ParseGenerationConfig
// and WeightFiles::Open.
absl::StatusOr<ModelFolder> LoadModelFolder(const std::string& path);

// Fills `flat`, of ParameterCount(folder.shape()) floats, in ParameterLayout's order. Memory that was not touched yet
// gets huge pages. kInvalidArgument: a tied model's lm_head.weight differs from the embedding. kDataLoss: a file was
// cut short since the folder was loaded. `flat` is undefined after an error.
absl::Status ReadWeights(const ModelFolder& folder, std::span<float> flat);

}  // namespace tandem
